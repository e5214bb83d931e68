"""Poison records, which kill the process: found over restarts, tried alone, and dead-lettered in the end.

Owns the arithmetic. Before a checkpoint is rated, the offsets about to be tried are noted outside the process, in the
poison ledger; a process that dies leaves its note behind. The next process run that finds the partition still at that
offset counts the crash: after `limit` crashes it tries the records one by one, and after `limit` more on a single
record it rejects that record. An attempt that ended with an error that has a name (a service was away, a permission is
missing, the breaker opened) is undone: only a death without a word counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from worker.records import Partition, Record, partition_of, spans
from worker.stream.ports import Attempt, PoisonLedger

HALTED: Final = "halted"


class PoisonTracker:
    """Notes what is tried, and says what must be tried alone or not at all.

    Args:
        ledger: outlives the process.
        run_id: names this process run, unlike any other.
        limit: crashes before records are tried alone, and again before one is rejected; 0 turns all of this off.

    Raises:
        ServiceError: in `split`, `start` and `undo`: the ledger is away.
    """

    def __init__(self, ledger: PoisonLedger, *, run_id: str, limit: int) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._limit = limit
        self._notes: dict[Partition, Attempt] = {}
        self._trying: dict[Partition, Attempt] = {}  # noted by this run, neither committed nor undone
        self._alone_until: dict[Partition, int] = {}
        self._poison: dict[Partition, int] = {}
        self.halted_before = False  # whether the breaker stopped an earlier run at what this one tries now

    def split(self, records: Sequence[Record]) -> list[Sequence[Record]]:
        """Cut a batch into checkpoints, each partition's order kept: as a rule, the batch itself."""
        if self._limit == 0:
            return [records]
        self._load(records)
        if not self._alone_until:
            return [records]
        rest: list[Record] = []
        alone: list[Sequence[Record]] = []
        for record in records:
            if record.offset <= self._alone_until.get(partition_of(record), -1):
                alone.append([record])
            else:
                rest.append(record)
        return [*alone, rest] if rest else alone

    def start(self, records: Sequence[Record]) -> frozenset[tuple[Partition, int]]:
        """Note that these records are about to be tried, and return the positions of poison among them."""
        if self._limit == 0:
            return frozenset()
        poison: set[tuple[Partition, int]] = set()
        notes: dict[Partition, Attempt] = {}
        self.halted_before = False
        for partition, (first, last) in spans(records).items():
            before = self._notes.get(partition)
            runs = 1
            if before is not None and before.first == first and before.run_id == HALTED:
                self.halted_before = True
            if before is not None and before.first == first and before.alone == (first == last):
                runs = before.runs + (before.run_id != self._run_id)
                if before.alone and before.runs >= self._limit and before.run_id != self._run_id:
                    self._poison[partition] = first
            if self._poison.get(partition) == first == last:
                poison.add((partition, first))  # also when its rejection must be tried again in this run
            notes[partition] = Attempt(first, last, runs, self._run_id)
        self._ledger.save_attempts(notes)
        self._notes |= notes
        self._trying |= notes
        return frozenset(poison)

    def committed(self) -> None:
        """Keep the notes of what was tried: the partitions have advanced, so nobody counts them."""
        self._trying.clear()

    def runs(self, partition: Partition) -> int:
        """Return how many process runs have started where this partition stands."""
        note = self._notes.get(partition)
        return 1 if note is None else note.runs

    def undo(self, why: str = "") -> None:
        """Take back this run's attempts that were not committed; the next attempt counts again, also one of this run.

        `why` is kept in place of the run's id; `HALTED` is for the breaker.

        While the ledger is away it raises, and a later call takes them back.
        """
        trying = dict(self._trying)
        if not trying:
            return
        found = self._ledger.load_attempts(list(trying))
        # Another worker may have the partition by now; then the note is its own.
        mine = {at: note for at, note in found.items() if note == trying[at]}
        if mine:
            self._ledger.save_attempts({at: replace(note, runs=note.runs - 1, run_id=why) for at, note in mine.items()})
        for partition in trying:
            self._notes.pop(partition, None)
        self._trying.clear()

    def drop(self, partitions: frozenset[Partition]) -> None:
        """Drop what is known of partitions that went to another worker: it may leave notes of its own."""
        for partition in partitions:
            self._notes.pop(partition, None)
            self._alone_until.pop(partition, None)
            self._poison.pop(partition, None)

    def _load(self, records: Sequence[Record]) -> None:
        """Read the notes that earlier runs left for partitions seen for the first time."""
        offsets = spans(records)
        new = [partition for partition in offsets if partition not in self._notes]
        found = self._ledger.load_attempts(new) if new else {}
        for partition, note in found.items():
            self._notes[partition] = note
            here = note.first == offsets[partition][0]
            if here and (note.runs >= self._limit or note.alone):
                self._alone_until[partition] = note.last
        for partition, (first, _) in offsets.items():
            if self._alone_until.get(partition, first) < first:
                del self._alone_until[partition]
