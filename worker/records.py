"""The values that move through the loop: records, batches, reviews and their outcomes.

Owns their shapes. `worker.stream.parse` makes them, `worker.stream.pipeline` passes them on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, Protocol

from schemas.dead_letter import DeadLetter
from schemas.output.rating_record import RatingRecord, rating_of, value_of
from schemas.rating import Rating, SourcePosition
from schemas.review import Review

ReleaseReason = Literal["full", "enough", "linger", "idle", "drain"]
RELEASE_REASONS: Final[tuple[ReleaseReason, ...]] = ("full", "enough", "linger", "idle", "drain")
OutcomeName = Literal["rated", "rejected", "deleted"]
OUTCOME_NAMES: Final[tuple[OutcomeName, ...]] = ("rated", "rejected", "deleted")

_where: Final = attrgetter("topic", "partition")


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(Protocol):
    """A consumed record, in the form that both Kafka clients give without copying.

    `timestamp` is milliseconds since the epoch, -1 when the broker has none.
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
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # Kafka's headers may be null


class PlainRecord(NamedTuple):
    """A record of plain values, where the client's own object has methods in place of attributes, or there is none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are rated and committed as one."""

    records: Sequence[Record]  # in the order they were read
    # Why the batcher released it. `full`: a limit is reached; `enough`: waiting would not lower the mean latency;
    # `linger`: its first record has waited long enough; `idle`: no record is expected before it has; `drain`: the loop
    # ends.
    reason: ReleaseReason
    size: int  # bytes, with an allowance for each record's key and headers
    fill: float  # share of the tightest limit, 0..1
    oldest_s: float  # how long its first record has waited


# Pending and rated reviews are not frozen: that would double the time it takes to make one.
@dataclass(slots=True)
class Pending:
    """A valid review that is not rated yet."""

    record: Record
    review_id: str
    review: Review

    def author_stars(self, labels: Collection[int] | Collection[str]) -> int | None:
        """Return the author's own stars, if the review has them and they are one of the labels."""
        score = self.review.score
        return int(score) if score is not None and score in labels else None


@dataclass(slots=True)
class Rated:
    """A review with its rating.

    `score` is the author's own stars, if the review has them: feedback, never an input of the model. `value` is the
    rating as JSON, made once for the store and the topic.
    """

    record: Record
    rating: Rating
    score: int | None = None
    value: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.value = self.rating.to_json()

    @property
    def fields(self) -> Rating:
        """What has the rating's fields as its own: the rating, or what it is made of when somebody asks for it."""
        return self.rating


class JustRated(Rated):
    """A rated review as the classifier makes it: the rating itself is made when somebody asks for it, which few do."""

    __slots__ = ("_made",)
    _made: Any  # a RatingRecord, or the rating once it is made

    @classmethod
    def of(cls, record: Record, made: RatingRecord, score: int | None) -> JustRated:
        """Return the review with what the classifier made."""
        rated: JustRated = cls.__new__(cls)
        rated.record, rated._made, rated.score, rated.value = record, made, score, value_of(made)
        return rated

    @property
    def fields(self) -> Rating:
        """What has the rating's fields as its own."""
        made: Rating = self._made
        return made

    @property
    def rating(self) -> Rating:
        """The rating."""
        if not isinstance(self._made, Rating):
            self._made = rating_of(self._made)
        made: Rating = self._made
        return made

    @rating.setter
    def rating(self, rating: Rating) -> None:
        self._made = rating


@dataclass(frozen=True, slots=True)
class Deleted:
    """A tombstone: the review was deleted, so its rating is deleted too."""

    record: Record
    review_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that could not be rated, with its dead letter."""

    record: Record
    letter: DeadLetter


Outcome = Rated | Deleted | Rejected
NAME_OF_OUTCOME: Final[dict[type, OutcomeName]] = {
    Rated: "rated",
    JustRated: "rated",
    Deleted: "deleted",
    Rejected: "rejected",
}


def source_of(record: Record) -> SourcePosition:
    """Return what a rating says of the record that it was made from."""
    return SourcePosition(record.topic, record.partition, record.offset, record.timestamp)


def partition_of(record: Record) -> Partition:
    """Return the partition a record was read from."""
    return Partition(record.topic, record.partition)


def next_offsets(records: Sequence[Record]) -> dict[Partition, int]:
    """Return, for each partition, the offset after its last record, to commit once all records are settled.

    `records` must hold every record read since the last commit, in order, as a `Batch` does.
    """
    return {Partition(*at): record.offset + 1 for at, record in last_records(records).items()}


def first_offsets(records: Sequence[Record]) -> dict[Partition, int]:
    """Return the offset of the first record of each partition; records are in order per partition."""
    return {Partition(*at): record.offset for at, record in first_records(records).items()}


def spans(records: Sequence[Record]) -> dict[Partition, tuple[int, int]]:
    """Return the offsets of the first and the last record of each partition; records are in order per partition."""
    first = first_records(records)
    return {Partition(*at): (first[at].offset, record.offset) for at, record in last_records(records).items()}


def first_records(records: Sequence[Record]) -> dict[tuple[str, int], Record]:
    """Return the first record of each partition, by topic and number."""
    # A later record of a partition replaces an earlier one, and no frame is needed for each.
    return dict(zip(map(_where, reversed(records)), reversed(records), strict=True))


def last_records(records: Sequence[Record]) -> dict[tuple[str, int], Record]:
    """Return the last record of each partition, by topic and number."""
    return dict(zip(map(_where, records), records, strict=True))


def without(records: Sequence[Record], settled: Sequence[Record]) -> list[Record]:
    """Return the records whose positions are not among those of `settled`, in order."""
    gone = {(partition_of(record), record.offset) for record in settled}
    return [record for record in records if (partition_of(record), record.offset) not in gone]
