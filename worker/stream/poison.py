"""Records that kill the process: found over restarts, tried alone, and dead-lettered in the end.

Owns the arithmetic. Before a batch is rated, what is about to be tried is noted outside the process (in Redis); a
process that dies leaves its note. The next life that finds a partition still standing at the same offset counts the
deaths: after `limit` of them it tries the records one by one, and after `limit` more at one single record it rejects
that one. A batch that failed because a service was away is forgiven: that was not the record's doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from worker.records import Partition, Record, partition_of, spans


@dataclass(frozen=True, slots=True)
class Attempt:
    """A note: the offsets about to be tried, how many lives began there, and which was the last."""

    first: int
    last: int
    lives: int
    life: str

    @property
    def alone(self) -> bool:
        """Whether a single record was tried by itself."""
        return self.first == self.last


class Ledger(Protocol):
    """Where the notes outlive the process."""

    def load_attempts(self, partitions: Sequence[Partition]) -> Mapping[Partition, Attempt]:
        """Return the notes of these partitions.

        Raises:
            ServiceError: the ledger is away.
        """
        ...

    def save_attempts(self, attempts: Mapping[Partition, Attempt]) -> None:
        """Replace the notes of these partitions.

        Raises:
            ServiceError: the ledger is away.
        """
        ...


class Attempts:
    """Notes what is tried, and says what must be tried alone or not at all.

    Args:
        ledger: outlives the process.
        life: names this process's life, unlike any other's.
        limit: deaths before caution, and again before rejection; 0 turns all of this off.
    """

    def __init__(self, ledger: Ledger, *, life: str, limit: int) -> None:
        self._ledger = ledger
        self._life = life
        self._limit = limit
        self._notes: dict[Partition, Attempt] = {}
        self._alone_until: dict[Partition, int] = {}
        self._condemned: dict[Partition, int] = {}

    def split(self, records: Sequence[Record]) -> list[Sequence[Record]]:
        """Cut a batch into what may be tried together, each partition's order kept: as a rule, the batch itself.

        Raises:
            ServiceError: the ledger is away.
        """
        if self._limit == 0:
            return [records]
        self._learn(records)
        if not self._alone_until:
            return [records]
        together: list[Record] = []
        alone: list[Sequence[Record]] = []
        for record in records:
            until = self._alone_until.get(partition_of(record), -1)
            if record.offset <= until:
                alone.append([record])
            else:
                together.append(record)
        return [*alone, together] if together else alone

    def begin(self, records: Sequence[Record]) -> frozenset[tuple[Partition, int]]:
        """Note that these are about to be tried, and return the positions of those that must not be.

        Raises:
            ServiceError: the ledger is away.
        """
        if self._limit == 0:
            return frozenset()
        condemned: set[tuple[Partition, int]] = set()
        notes: dict[Partition, Attempt] = {}
        for partition, (first, last) in spans(records).items():
            before = self._notes.get(partition)
            lives = 1
            if before is not None and before.first == first and before.alone == (first == last):
                lives = before.lives + (before.life != self._life)
                if before.alone and before.lives >= self._limit and before.life != self._life:
                    self._condemned[partition] = first
            if self._condemned.get(partition) == first == last:
                condemned.add((partition, first))  # also when its rejection must be tried again in this life
            notes[partition] = Attempt(first, last, lives, self._life)
        self._ledger.save_attempts(notes)
        self._notes |= notes
        return frozenset(condemned)

    def lives(self, partition: Partition) -> int:
        """Return how many lives began where this partition stands."""
        note = self._notes.get(partition)
        return 1 if note is None else note.lives

    def forgive(self, records: Sequence[Record]) -> None:
        """Take back this life's note of records that failed for want of a service.

        Raises:
            ServiceError: the ledger is away.
        """
        notes = {}
        for partition in spans(records):
            note = self._notes.pop(partition, None)
            if note is not None and note.life == self._life:
                notes[partition] = replace(note, lives=note.lives - 1)
        if notes:
            self._ledger.save_attempts(notes)

    def forget(self, partitions: frozenset[Partition]) -> None:
        """Drop what is known of partitions that went to another worker: it may leave notes of its own."""
        for partition in partitions:
            self._notes.pop(partition, None)
            self._alone_until.pop(partition, None)
            self._condemned.pop(partition, None)

    def _learn(self, records: Sequence[Record]) -> None:
        """Read the notes that former lives left for partitions seen for the first time."""
        offsets = spans(records)
        new = [partition for partition in offsets if partition not in self._notes]
        found = self._ledger.load_attempts(new) if new else {}
        for partition, note in found.items():
            self._notes[partition] = note
            here = note.first == offsets[partition][0]
            if here and (note.lives >= self._limit or note.alone):
                self._alone_until[partition] = note.last
        for partition, (first, _) in offsets.items():
            if self._alone_until.get(partition, first) < first:
                del self._alone_until[partition]
