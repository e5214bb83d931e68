"""Gathers records into batches: pure, without a clock, a thread or a client.

Owns when a batch is released and why. Takes what is there, and waits for company only while that lets the mean review
be done sooner (`cost` says up to which size, from what batches have cost so far), at most for the latency budget
`linger_s`, and not at all when nobody is expected within it. Holds raw records only, nothing of which has had an effect
yet, so whatever is dropped here is simply read again by its partition's next owner. `pipeline` feeds it, tells it what
batches cost, and asks how long it may block.

Tokens of a record are known only once it is encoded, which is later; until then they are taken from its bytes, by the
ratio that batches have shown.

Promises (tests/unit/worker/stream/test_batcher.py): every record added is released exactly once or dropped with its
partition; the order within a partition is kept; no record waits longer than `linger_s` once the loop comes round.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from worker.records import Batch, Partition, Record, ReleaseReason, partition_of
from worker.stream.batch_cost import Cost

_RECORD_OVERHEAD_BYTES: Final = 100  # key, headers and object of a record beside its value
_TOKENS_PER_BYTE: Final = 0.1  # of a review in JSON, until batches have shown another ratio
_RATIO_KEPT: Final = 0.98  # of the weight of what was seen, a batch
_RATE_S: Final = 0.5  # what came longer ago hardly counts for how much comes
_LEAST_WAIT_S: Final = 0.001  # Kafka clients wait in milliseconds: less is none, and the loop would spin


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold; a record larger than a limit is a batch by itself.

    Attributes:
        records: most records.
        bytes: most bytes of their values.
        tokens: most tokens, by estimate.
        linger_s: longest a record waits for company.
        patience_s: how long the loop may block when there is nothing to release.
    """

    records: int
    bytes: int
    tokens: int
    linger_s: float
    patience_s: float = 0.5


class _Waiting(NamedTuple):
    record: Record
    size: int
    since: float


class Batcher:
    """A queue with a rule of release. Times are monotonic seconds.

    Args:
        limits: of a batch.

    Attributes:
        cost: what batches cost, as learned so far.
    """

    def __init__(self, limits: Limits) -> None:
        self.cost = Cost()
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._seen_tokens, self._seen_bytes = _TOKENS_PER_BYTE, 1.0
        self._came_bytes = 0.0  # decaying: divided by _RATE_S it is bytes a second
        self._came_at = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    @property
    def room(self) -> int:
        """How many records fit in the batch being gathered."""
        return max(0, self._limits.records - len(self._waiting))

    @property
    def tokens_per_byte(self) -> float:
        """Tokens of a review for each byte of its record, as batches have shown."""
        return self._seen_tokens / self._seen_bytes

    def add(self, records: Sequence[Record], now: float) -> None:
        """Queue records that arrived at `now`."""
        came = 0
        for record in records:
            size = len(record.value or b"") + _RECORD_OVERHEAD_BYTES
            self._waiting.append(_Waiting(record, size, now))
            came += size
        self._bytes += came
        self._came_bytes = self._came_bytes * self._faded(now) + came
        self._came_at = now

    def learn(self, batch: Batch, tokens: int, seconds: float, of_tokens_s: float) -> None:
        """Take in what a batch was: how many tokens it had, how long the loop took for it, and for its tokens alone."""
        if tokens > 0:
            self._seen_tokens = self._seen_tokens * _RATIO_KEPT + tokens
            self._seen_bytes = self._seen_bytes * _RATIO_KEPT + batch.size
        self.cost.observe(tokens, seconds, of_tokens_s)

    def wait_s(self, now: float) -> float:
        """Return how long the loop may block for more records before it must ask for a release."""
        if not self._waiting:
            return self._limits.patience_s
        if self._due(now):
            return 0.0
        return min(self._linger_until - now, max(self._missing_s(now), _LEAST_WAIT_S))

    def release(self, now: float) -> Batch | None:
        """Return the next batch that is due, or None."""
        reason = self._due(now) if self._waiting else None
        return self._take(reason, now) if reason else None

    def drain(self, now: float) -> Batch | None:
        """Return a batch of what waits, due or not; None when nothing does."""
        return self._take("drain", now) if self._waiting else None

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget the records of partitions that belong to another worker now."""
        self._waiting = deque(each for each in self._waiting if partition_of(each.record) not in partitions)
        self._bytes = sum(each.size for each in self._waiting)

    def clear(self) -> list[Record]:
        """Forget everything and return it, in order, so that the caller can rewind."""
        forgotten = [each.record for each in self._waiting]
        self._waiting.clear()
        self._bytes = 0
        return forgotten

    def _due(self, now: float) -> ReleaseReason | None:
        """Say why what waits is to be released now; None while waiting pays."""
        if len(self._waiting) >= self._limits.records or self._bytes >= self._most_bytes:
            return "full"
        if now + _LEAST_WAIT_S >= self._linger_until:
            return "linger"
        # The mean record's time to come: when it is past the budget, nobody is expected.
        mean_bytes = self._bytes / len(self._waiting)
        if mean_bytes > self._bytes_per_s(now) * (self._linger_until - now):
            return "idle"
        return "enough" if self._missing_s(now) <= 0 else None

    @property
    def _linger_until(self) -> float:
        return self._waiting[0].since + self._limits.linger_s

    @property
    def _most_bytes(self) -> float:
        """The limits on bytes and tokens, both in bytes."""
        return min(self._limits.bytes, self._limits.tokens / self.tokens_per_byte)

    def _missing_s(self, now: float) -> float:
        """Return how long the stream takes to bring what is still worth waiting for."""
        rate = self._bytes_per_s(now)
        ratio = self.tokens_per_byte
        missing = self.cost.worth_waiting(rate * ratio) / ratio - self._bytes
        if missing <= 0:
            return 0.0
        return missing / rate if rate > 0 else math.inf

    def _bytes_per_s(self, now: float) -> float:
        return self._came_bytes * self._faded(now) / _RATE_S

    def _faded(self, now: float) -> float:
        return math.exp(min(0.0, self._came_at - now) / _RATE_S)

    def _take(self, reason: ReleaseReason, now: float) -> Batch:
        most_bytes = self._most_bytes
        oldest_s = now - self._waiting[0].since
        taken: list[Record] = []
        taken_bytes = 0
        while self._waiting and len(taken) < self._limits.records:
            first = self._waiting[0]
            if taken and taken_bytes + first.size > most_bytes:
                break
            self._waiting.popleft()
            taken.append(first.record)
            taken_bytes += first.size
        self._bytes -= taken_bytes
        fill = max(len(taken) / self._limits.records, taken_bytes / most_bytes)
        return Batch(taken, reason, size=taken_bytes, fill=min(1.0, fill), oldest_s=oldest_s)
