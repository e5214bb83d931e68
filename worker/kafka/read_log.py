"""What a member of the group has read: how old its records are, and where it found offsets missing.

Owns these notes. The loop's thread writes them as it polls; the thread of `group_lag` reads them. They cost a few
operations a poll, not a record.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from worker.records import Partition, Record

_MOST_TIMES: Final = 1000  # a partition's; the oldest matter, and are dropped once they are committed
_MOST_GAPS: Final = 1000


class Gap(NamedTuple):
    """Offsets that no record was returned for: markers and aborted records, or records that retention removed."""

    partition: Partition
    expected: int
    found: int


class ReadLog:
    """Notes of what a source has returned. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[Partition, int] = {}  # the offset that should come next
        self._begin: dict[Partition, int] = {}  # the first offset returned
        self._read_to: dict[Partition, int] = {}  # the offset after the highest returned
        self._times: dict[Partition, deque[tuple[int, int]]] = {}  # offset and timestamp of each poll's first record
        self._gaps: deque[Gap] = deque(maxlen=_MOST_GAPS)

    def unknown(self, partitions: Iterable[tuple[str, int]]) -> list[Partition]:
        """Return the partitions of which it is not known which offset should come first: their position is new."""
        with self._lock:
            return [Partition(*at) for at in partitions if at not in self._next]

    def after_failure(self, at: Partition, given: int | None, committed: int | None) -> int | None:
        """Return where a partition is to be read after a batch failed; None: as it is.

        That is the committed offset, unless it lies before the first record that was returned: then the log no longer
        has it, and the partition is read from `given`.

        Args:
            at: the partition.
            given: its first record that is not committed as far as the worker knows; None: there is none.
            committed: the brokers' committed offset; None or negative: there is none.
        """
        with self._lock:
            if committed is None or committed < self._begin.get(at, 0):
                return given
            return committed if given is not None or committed < self._next.get(at, 0) else None

    def sought(self, positions: Mapping[Partition, int]) -> None:
        """Note that partitions are read from these offsets on."""
        with self._lock:
            self._next |= positions

    def returned(
        self,
        records: Sequence[Record],
        firsts: Mapping[tuple[str, int], Record],
        lasts: Mapping[tuple[str, int], int],
    ) -> None:
        """Note the records of a poll, in order per partition, and each partition's first record and last offset."""
        with self._lock:
            for topic_and_number, first in firsts.items():
                at = Partition(*topic_and_number)
                expected = self._next.get(at)
                self._begin.setdefault(at, first.offset)
                if expected is not None and first.offset > expected:
                    self._gaps.append(Gap(at, expected, first.offset))
                if first.offset >= self._read_to.get(at, 0):
                    times = self._times.setdefault(at, deque())
                    if len(times) < _MOST_TIMES:
                        times.append((first.offset, first.timestamp))
                self._next[at] = lasts[at] + 1
                self._read_to[at] = max(lasts[at] + 1, self._read_to.get(at, 0))
            if sum(lasts[at] + 1 - first.offset for at, first in firsts.items()) > len(records):
                self._gaps.extend(_gaps_within(records))

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions that were removed: another member reads on from where it likes."""
        with self._lock:
            for at in partitions:
                for notes in (self._next, self._begin, self._read_to, self._times):
                    notes.pop(at, None)

    def take_gaps(self) -> list[Gap]:
        """Return the gaps found since the last call."""
        with self._lock:
            taken = list(self._gaps)
            self._gaps.clear()
        return taken

    def timestamp_at(self, partition: Partition, committed: int) -> int | None:
        """Return about when the first record that is not committed was written, in milliseconds since the epoch.

        None when no record from there on has been read. Forgets what is older.
        """
        with self._lock:
            times = self._times.get(partition)
            if not times or self._read_to[partition] <= committed:
                return None
            while len(times) > 1 and times[1][0] <= committed:
                times.popleft()
            timestamp = times[0][1]
        return timestamp if timestamp >= 0 else None


def _gaps_within(records: Sequence[Record]) -> Iterable[Gap]:
    last: dict[Partition, int] = {}
    for record in records:
        at = Partition(record.topic, record.partition)
        expected = last.get(at, record.offset)
        if record.offset > expected:
            yield Gap(at, expected, record.offset)
        last[at] = record.offset + 1
