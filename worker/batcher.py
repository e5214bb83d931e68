"""Gathers records into batches: pure, without a clock, a thread or a client.

Owns when a batch is released and why. Takes what is there; waits only while waiting can still fill the batch within
`linger_s`. Holds raw records only, nothing of which has had an effect yet, so whatever is dropped here is simply
read again by its partition's next owner. `pipeline` feeds it and asks how long it may block.

Promises (tests/unit/test_batcher.py): every record added is released exactly once or dropped with its partition; the
order within a partition is kept; no record waits longer than `linger_s` once the loop comes round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from worker.records import Batch, Partition, Record, ReleaseReason, partition_of

_RECORD_OVERHEAD_BYTES = 100  # key, headers and object of a record beside its value


class Batcher:
    """A queue with a rule of release. Times are monotonic seconds.

    Args:
        max_records: most records in a batch.
        max_bytes: most bytes of values in a batch; a single larger record is a batch by itself.
        linger_s: longest a record waits for company.
        idle_s: a batch is released when nothing came for so long; at most `linger_s`.
        patience_s: how long the loop may block when there is nothing to release.
    """

    def __init__(
        self, *, max_records: int, max_bytes: int, linger_s: float, idle_s: float, patience_s: float = 0.5
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._linger_s = linger_s
        self._idle_s = idle_s
        self._patience_s = patience_s
        self._waiting: deque[tuple[Record, int, float]] = deque()
        self._bytes = 0
        self._last_arrival = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    @property
    def room(self) -> int:
        """How many records fit in the batch being gathered."""
        return max(0, self._max_records - len(self._waiting))

    def add(self, records: Sequence[Record], now: float) -> None:
        """Queue records that arrived at `now`."""
        for record in records:
            size = len(record.value or b"") + _RECORD_OVERHEAD_BYTES
            self._waiting.append((record, size, now))
            self._bytes += size
        if records:
            self._last_arrival = now

    def wait_s(self, now: float) -> float:
        """Return how long the loop may block for more records before it must ask for a release."""
        if not self._waiting:
            return self._patience_s
        if self._full:
            return 0.0
        return max(0.0, min(self._linger_until, self._idle_at) - now)

    def release(self, now: float) -> Batch | None:
        """Return the next batch that is due, or None."""
        if not self._waiting:
            return None
        if self._full:
            return self._take("full")
        if now >= self._linger_until:
            return self._take("linger")
        if now >= self._idle_at:
            return self._take("idle")
        return None

    def drain(self) -> Batch | None:
        """Return a batch of what waits, due or not; None when nothing does."""
        return self._take("drain") if self._waiting else None

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the records of partitions that belong to another worker now."""
        kept = [entry for entry in self._waiting if partition_of(entry[0]) not in partitions]
        self._waiting = deque(kept)
        self._bytes = sum(size for _, size, _ in kept)

    def clear(self) -> list[Record]:
        """Forget everything and return it, in order, so that the caller can rewind."""
        forgotten = [record for record, _, _ in self._waiting]
        self._waiting.clear()
        self._bytes = 0
        return forgotten

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= self._max_records or self._bytes >= self._max_bytes

    # `wait_s` and `release` compare with the very same numbers: were one to round otherwise, the loop would be told to
    # wait for nothing and find nothing due, and spin.
    @property
    def _linger_until(self) -> float:
        return self._waiting[0][2] + self._linger_s

    @property
    def _idle_at(self) -> float:
        return self._last_arrival + self._idle_s

    def _take(self, reason: ReleaseReason) -> Batch:
        taken: list[Record] = []
        taken_bytes = 0
        while self._waiting and len(taken) < self._max_records:
            record, size, _ = self._waiting[0]
            if taken and taken_bytes + size > self._max_bytes:
                break
            self._waiting.popleft()
            taken.append(record)
            taken_bytes += size
        self._bytes -= taken_bytes
        return Batch(taken, reason)
