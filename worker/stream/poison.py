"""Poison records, which kill the process: found over restarts, tried alone, and dead-lettered in the end.

Owns the arithmetic. Before a checkpoint is rated, the offsets about to be tried are noted outside the process, in the
poison ledger; a process that dies leaves its note behind. The next process run that finds the partition still at that
offset counts the crash: after `limit` crashes it tries the records one by one, and after `limit` more on a single
record it rejects that record. An attempt that failed because a service was away is undone: the record is not to blame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from worker.records import Partition, Record, partition_of, spans
from worker.stream.ports import Attempt, PoisonLedger


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
        self._alone_until: dict[Partition, int] = {}
        self._poison: dict[Partition, int] = {}

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
        for partition, (first, last) in spans(records).items():
            before = self._notes.get(partition)
            runs = 1
            if before is not None and before.first == first and before.alone == (first == last):
                runs = before.runs + (before.run_id != self._run_id)
                if before.alone and before.runs >= self._limit and before.run_id != self._run_id:
                    self._poison[partition] = first
            if self._poison.get(partition) == first == last:
                poison.add((partition, first))  # also when its rejection must be tried again in this run
            notes[partition] = Attempt(first, last, runs, self._run_id)
        self._ledger.save_attempts(notes)
        self._notes |= notes
        return frozenset(poison)

    def runs(self, partition: Partition) -> int:
        """Return how many process runs have started where this partition stands."""
        note = self._notes.get(partition)
        return 1 if note is None else note.runs

    def undo(self, records: Sequence[Record]) -> None:
        """Take back this run's attempt at records that failed because a service was away."""
        notes = {}
        for partition in spans(records):
            note = self._notes.pop(partition, None)
            if note is not None and note.run_id == self._run_id:
                notes[partition] = replace(note, runs=note.runs - 1)
        if notes:
            self._ledger.save_attempts(notes)

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
