"""The values that travel through the loop: a record read, and what became of it.

Owns their shapes. Never knows where they come from or go to; `parse` makes them, `pipeline` moves them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from schemas.dead_letter import DeadLetter
from schemas.rating import Rating
from schemas.review import Review

ReleaseReason = Literal["full", "enough", "linger", "idle", "drain"]
RELEASE_REASONS: Final[tuple[ReleaseReason, ...]] = ("full", "enough", "linger", "idle", "drain")
OutcomeName = Literal["rated", "rejected", "deleted"]
OUTCOME_NAMES: Final[tuple[OutcomeName, ...]] = ("rated", "rejected", "deleted")


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(Protocol):
    """A consumed record, as both Kafka clients can give it without copying.

    `timestamp` is milliseconds since the epoch, -1 when the broker knows none.
    """

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Records released together, in the order they were read, and why they were.

    Attributes:
        records: in order.
        reason: `full`: a limit is reached; `enough`: more would not pay; `linger`: the latency budget is spent; `idle`:
            nobody is expected within it; `drain`: the loop ends.
        size: bytes, with an allowance for each record beside its value.
        fill: share of the tightest limit, 0..1.
        oldest_s: how long its first record waited for company.
    """

    records: Sequence[Record]
    reason: ReleaseReason
    size: int
    fill: float
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Pending:
    """A valid review that waits for its stars."""

    record: Record
    review_id: str
    review: Review

    def author_stars(self, labels: Collection[int]) -> int | None:
        """Return the author's own stars, when the review tells them and they are one of the labels."""
        score = self.review.score
        return int(score) if score is not None and score in labels else None


@dataclass(frozen=True, slots=True)
class Rated:
    """A review with its rating, and the author's own stars where the review told them: feedback, never an input.

    `value` is the rating as JSON, written once for all who store or send it.
    """

    record: Record
    rating: Rating
    score: int | None = None
    value: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.rating.to_json())


@dataclass(frozen=True, slots=True)
class Deleted:
    """A tombstone: the review was deleted, and its rating goes with it."""

    record: Record
    review_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that could not be rated, with its dead letter."""

    record: Record
    letter: DeadLetter


Outcome = Rated | Deleted | Rejected
NAME_OF_OUTCOME: Final[dict[type, OutcomeName]] = {Rated: "rated", Deleted: "deleted", Rejected: "rejected"}


def partition_of(record: Record) -> Partition:
    """Return the partition a record was read from."""
    return Partition(record.topic, record.partition)


def next_offsets(records: Sequence[Record]) -> dict[Partition, int]:
    """Return, for each partition, the offset after its last record: what is committed once all are settled.

    Only right when `records` holds every record read since the last commit, in order, which `Batch` promises.
    """
    return {at: last + 1 for at, (_, last) in spans(records).items()}


def first_offsets(records: Sequence[Record]) -> dict[Partition, int]:
    """Return where each partition was before these records, which are in order per partition."""
    return {at: first for at, (first, _) in spans(records).items()}


def spans(records: Sequence[Record]) -> dict[Partition, tuple[int, int]]:
    """Return the offsets of the first and the last record of each partition, which are in order per partition."""
    last = {(record.topic, record.partition): record.offset for record in records}
    first = {(record.topic, record.partition): record.offset for record in reversed(records)}
    return {Partition(*at): (first[at], offset) for at, offset in last.items()}


def without(records: Sequence[Record], settled: Sequence[Record]) -> list[Record]:
    """Return the records whose positions are not among those of `settled`, in order."""
    gone = {(partition_of(record), record.offset) for record in settled}
    return [record for record in records if (partition_of(record), record.offset) not in gone]
