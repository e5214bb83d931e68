"""Gathers records into batches: pure, without a clock, a thread or a client.

Owns when a batch is released and why. Takes the records that are there, and waits for more only when that lowers mean
latency (`batch_cost` says up to which size, from what batches have cost so far), at most for the latency budget
`linger_s`, and not at all when no record is expected within it. Holds raw records only, which have had no effect yet,
so whatever is dropped here is simply read again by the partition's next owner. `pipeline` feeds it, reports what
batches cost, and asks how long it may block.

The tokens of a record are known only once it is encoded, which is later; until then they are estimated from its bytes,
by the ratio that batches have shown.

Promises (tests/unit/worker/stream/test_batcher.py): every record added is released exactly once or dropped with its
partition; the order within a partition is kept; no record waits longer than `linger_s` once the loop asks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple

from worker.records import Batch, Partition, Record, ReleaseReason, partition_of
from worker.stream.batch_cost import Cost

_RECORD_OVERHEAD_BYTES: Final = 100  # key, headers and object of a record beside its value
_TOKENS_PER_BYTE: Final = 0.1  # of a review in JSON, until batches have shown another ratio
_RATIO_KEPT: Final = 0.98  # share of the weight of the past that each batch leaves: fifty batches are remembered
_RATE_S: Final = 0.5  # time constant of the arrival rate: what came earlier hardly counts
_LEAST_WAIT_S: Final = 0.001  # Kafka clients wait in milliseconds: with less they do not wait, and the loop would spin


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold; a record larger than a limit is a batch by itself."""

    records: int  # most records
    bytes: int  # most bytes of their values
    tokens: int  # most tokens, by estimate
    linger_s: float  # the longest a record waits for others
    commit_s: float = math.inf  # the longest a commit may take before it fails
    idle_wait_s: float = 0.5  # how long the loop may block when the queue is empty


class _Queued(NamedTuple):
    record: Record
    size: int
    since: float


# As `_Queued._make`, without its frame.
_queued: Final[Callable[[tuple[Any, ...]], _Queued]] = partial(tuple.__new__, _Queued)


class Batcher:
    """A queue with a release rule. Times are monotonic seconds.

    Attributes:
        cost: what batches cost, as learned so far.
        most_records: in the next batch: fewer than the limit while commits fail or are slow.
    """

    def __init__(self, limits: Limits) -> None:
        self.cost = Cost()
        self._limits = limits
        self.most_records = self._safe_records = limits.records
        self._queue: deque[_Queued] = deque()
        self._bytes = 0
        self._seen_tokens, self._seen_bytes = _TOKENS_PER_BYTE, 1.0
        self._recent_bytes = 0.0  # decaying: divided by _RATE_S it is bytes a second
        self._last_arrival = 0.0

    @property
    def empty(self) -> bool:
        """Whether the queue is empty."""
        return not self._queue

    @property
    def room(self) -> int:
        """How many more records fit into the next batch."""
        return max(0, self.most_records - len(self._queue))

    @property
    def tokens_per_byte(self) -> float:
        """Tokens per byte of a record, as batches have shown."""
        return self._seen_tokens / self._seen_bytes

    def add(self, records: Sequence[Record], now: float) -> None:
        """Queue records that arrived at `now`."""
        sizes = [len(record.value or b"") + _RECORD_OVERHEAD_BYTES for record in records]
        self._queue.extend(map(_queued, zip(records, sizes, repeat(now))))  # without a frame for each
        added_bytes = sum(sizes)
        self._bytes += added_bytes
        self._recent_bytes = self._recent_bytes * self._decay(now) + added_bytes
        self._last_arrival = now

    def learn(self, batch: Batch, tokens: int, seconds: float, token_s: float) -> None:
        """Learn from a committed batch: its tokens, the seconds it took, and those that grow with the tokens."""
        if tokens > 0:
            self._seen_tokens = self._seen_tokens * _RATIO_KEPT + tokens
            self._seen_bytes = self._seen_bytes * _RATIO_KEPT + batch.size
        self.cost.observe(tokens, seconds, token_s)

    def commit_failed(self, records: int) -> None:
        """Halve the next batch: a throttled or slow broker might take less in time, and what it did not commit counts.

        The same batch again would fail again, and use up the quota that a smaller one needs.
        """
        self.most_records = self._safe_records = max(1, min(self.most_records, records) // 2)

    def commit_took(self, records: int, seconds: float) -> None:
        """Halve the next batch also when a commit came near its time limit; let it grow when one was far from it.

        It doubles up to the half of what failed last, and grows by an eighth from there.
        """
        if seconds > self._limits.commit_s / 2:
            self.commit_failed(records)
        elif seconds < self._limits.commit_s / 4 and records >= self.most_records < self._limits.records:
            grown = self.most_records * 2 if self.most_records < self._safe_records else self.most_records * 9 // 8 + 1
            self.most_records = min(self._limits.records, grown)

    def wait_s(self, now: float) -> float:
        """Return how long the loop may block for more records before it must call `release`."""
        if not self._queue:
            return self._limits.idle_wait_s
        if self._due(now):
            return 0.0
        return min(self._linger_until - now, max(self._missing_s(now), _LEAST_WAIT_S))

    def release(self, now: float) -> Batch | None:
        """Return the next batch that is due, or None."""
        reason = self._due(now) if self._queue else None
        return self._take(reason, now) if reason else None

    def drain(self, now: float) -> Batch | None:
        """Return a batch of what is queued, due or not; None when the queue is empty."""
        return self._take("drain", now) if self._queue else None

    def drop(self, partitions: Collection[Partition]) -> None:
        """Drop the records of partitions that belong to another worker now."""
        self._queue = deque(queued for queued in self._queue if partition_of(queued.record) not in partitions)
        self._bytes = sum(queued.size for queued in self._queue)

    def clear(self) -> list[Record]:
        """Drop everything and return it, in order, so that the caller can rewind."""
        dropped = [queued.record for queued in self._queue]
        self._queue.clear()
        self._bytes = 0
        return dropped

    def _due(self, now: float) -> ReleaseReason | None:
        """Return why the queue is due now; None while waiting pays."""
        if len(self._queue) >= self.most_records or self._bytes >= self._most_bytes:
            return "full"
        if now + _LEAST_WAIT_S >= self._linger_until:
            return "linger"
        # The time until a record of mean size arrives: if it is past the budget, no record is expected.
        mean_bytes = self._bytes / len(self._queue)
        if mean_bytes > self._bytes_per_s(now) * (self._linger_until - now):
            return "idle"
        return "enough" if self._missing_s(now) <= 0 else None

    @property
    def _linger_until(self) -> float:
        return self._queue[0].since + self._limits.linger_s

    @property
    def _most_bytes(self) -> float:
        """The limits on bytes and tokens, both in bytes."""
        return min(self._limits.bytes, self._limits.tokens / self.tokens_per_byte)

    def _missing_s(self, now: float) -> float:
        """Return how long the bytes that are still worth waiting for take to arrive."""
        rate = self._bytes_per_s(now)
        ratio = self.tokens_per_byte
        missing = self.cost.worth_waiting(rate * ratio) / ratio - self._bytes
        if missing <= 0:
            return 0.0
        return missing / rate if rate > 0 else math.inf

    def _bytes_per_s(self, now: float) -> float:
        return self._recent_bytes * self._decay(now) / _RATE_S

    def _decay(self, now: float) -> float:
        return math.exp(min(0.0, self._last_arrival - now) / _RATE_S)

    def _take(self, reason: ReleaseReason, now: float) -> Batch:
        most_bytes = self._most_bytes
        oldest_s = now - self._queue[0].since
        if len(self._queue) <= self.most_records and self._bytes <= most_bytes:
            taken_bytes, taken = self._bytes, self.clear()
        else:
            taken_bytes, taken = self._take_some(most_bytes)
        fill = max(len(taken) / self.most_records, taken_bytes / most_bytes)
        return Batch(taken, reason, size=taken_bytes, fill=min(1.0, fill), oldest_s=oldest_s)

    def _take_some(self, most_bytes: float) -> tuple[int, list[Record]]:
        taken: list[Record] = []
        taken_bytes = 0
        while self._queue and len(taken) < self.most_records:
            first = self._queue[0]
            if taken and taken_bytes + first.size > most_bytes:
                break
            self._queue.popleft()
            taken.append(first.record)
            taken_bytes += first.size
        self._bytes -= taken_bytes
        return taken_bytes, taken
