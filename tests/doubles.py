"""The worker's ports in memory: a cluster, a source, a store, a delivery, a clock, a classifier.

The same contract suites (`tests/contract/`) run on these doubles and on the real adapters, so that a unit test on
them proves something. Time moves only with the given clock; nothing here sleeps.

    MemoryCluster ── MemorySource     topics, groups with cooperative assignment, committed offsets
                  └─ MemoryDelivery   publishes and commits in one step, or not at all
    MemoryStore                       ratings, deletion markers and summaries behind the fence of `write.lua`
    MemoryPoisonLedger                notes of attempts
    Faults                            the errors a double raises at its next calls
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from schemas.input.value import InvalidReviewError
from schemas.rating import Rating, time_text
from worker.clock import Clock
from worker.errors import RefusedError, ServiceError, TransientError
from worker.kafka.outgoing import Outgoing, outgoing, size_of
from worker.kafka.progress import joining_reason
from worker.ops.metrics import WRITE_RESULTS
from worker.records import (
    Deleted,
    Outcome,
    Partition,
    Pending,
    PlainRecord,
    Rated,
    Record,
    Rejected,
    partition_of,
    source_of,
)
from worker.settings import WorkerSettings
from worker.stream.ports import Attempt, Delivery, Store
from worker.stream.rejection import rejected

WALL_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z
TIMESTAMP_MS = int(WALL_S) * 1000
TOPIC = "reviews"
REFUSED = "kaboom"  # no model of the tests can rate a text with this word, the toy bundle included


class ManualClock:
    """Time that moves only by `advance` and `sleep`."""

    def __init__(self, monotonic_s: float = 1000.0, wall_s: float = WALL_S) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s

    def monotonic(self) -> float:
        return self._monotonic_s

    def wall(self) -> float:
        return self._wall_s

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self._monotonic_s += seconds
        self._wall_s += seconds


class Event(NamedTuple):
    """A line of the log."""

    level: int
    event: str
    fields: Mapping[str, str | float | bool | None]


class MemoryLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, level: int, event: str, /, **fields: str | float | bool | None) -> None:
        self.events.append(Event(level, event, fields))

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]


class Faults:
    """The errors that the next calls of a double raise, in order; None raises nothing. Later calls succeed."""

    def __init__(self) -> None:
        self._next: deque[ServiceError | InvalidReviewError | None] = deque()

    def then(self, *errors: ServiceError | InvalidReviewError | None) -> None:
        self._next.extend(errors)

    def raise_next(self) -> None:
        error = self._next.popleft() if self._next else None
        if error is not None:
            raise error


def make_record(
    value: bytes | str | None = "good app",
    *,
    key: bytes | None = None,
    partition: int = 0,
    offset: int = 0,
    topic: str = TOPIC,
    timestamp: int = TIMESTAMP_MS,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> PlainRecord:
    """Return a record; a text is encoded as UTF-8."""
    content = value.encode() if isinstance(value, str) else value
    return PlainRecord(topic, partition, offset, timestamp, key, content, headers)


def make_rated(
    review_id: str = "r1", rating: int = 5, *, app_id: str | None = None, record: Record | None = None
) -> Rated:
    """Return a rated review."""
    record = record or make_record()
    probabilities = [0.9 if label == rating else 0.025 for label in range(1, 6)]
    return Rated(
        record,
        Rating(
            review_id=review_id,
            app_id=app_id,
            rating=rating,
            expected_rating=float(rating),
            confidence=0.9,
            uncertain=False,
            probabilities=probabilities,
            model_version="stub-1",
            rated_at="2026-01-01T00:00:00.000Z",
            source=source_of(record),
        ),
    )


class MemoryCluster:
    """Topics, and groups that read them. A record may be produced to arrive later, when the clock gets there."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.committed: dict[tuple[str, Partition], int] = {}
        self._topics: dict[str, list[list[tuple[float, PlainRecord]]]] = {}
        self._members: dict[str, list[MemorySource]] = {}

    def create(self, topic: str, partitions: int = 1) -> None:
        self._topics.setdefault(topic, [[] for _ in range(partitions)])

    def delete(self, topic: str) -> None:
        del self._topics[topic]

    def has(self, topic: str) -> bool:
        return topic in self._topics

    def produce(self, record: PlainRecord, *, in_s: float = 0.0) -> PlainRecord:
        """Append a record to its partition, which gives it its offset; it arrives in `in_s` seconds."""
        log = self._topics[record.topic][record.partition]
        at = max(self.clock.monotonic() + in_s, log[-1][0] if log else 0.0)
        stamped = record._replace(offset=len(log))
        log.append((at, stamped))
        return stamped

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        return [Partition(name, number) for name in topics for number in range(len(self._topics.get(name, ())))]

    def records(self, partition: Partition, start: int = 0) -> Iterator[PlainRecord]:
        """Yield what has arrived, from an offset on."""
        now = self.clock.monotonic()
        for at, record in self._log(partition)[start:]:
            if at > now:
                return
            yield record

    def all_records(self, topic: str) -> list[PlainRecord]:
        return [record for partition in self.partitions([topic]) for record in self.records(partition)]

    def next_arrival(self, positions: Mapping[Partition, int]) -> float:
        """Return when the next unread record arrives; infinity when there is none."""
        ats = [self._log(partition)[at : at + 1] for partition, at in positions.items()]
        return min((log[0][0] for log in ats if log), default=float("inf"))

    def end(self, partition: Partition) -> int:
        return len(self._log(partition))

    def join(self, member: MemorySource) -> None:
        self._members.setdefault(member.group, []).append(member)

    def leave(self, member: MemorySource) -> None:
        if member in self._members[member.group]:
            self._members[member.group].remove(member)

    def evict(self, member: MemorySource) -> None:
        """Remove a member from its group; it notices when it polls."""
        self._members[member.group].remove(member)

    def owned_by(self, member: MemorySource) -> set[Partition]:
        """Return the partitions that a member may commit: none once it is evicted."""
        return set(member.positions) if member in self._members[member.group] else set()

    def share_of(self, member: MemorySource) -> tuple[set[Partition], set[Partition]]:
        """Return the partitions that a member should own, and those of them that no other member still holds."""
        members = self._members[member.group]
        if member not in members:  # evicted: other members may own all its partitions
            members.append(member)
            return set(), set()
        due = set(self.partitions(member.topics)[members.index(member) :: len(members)])
        held = {partition for other in members if other is not member for partition in other.positions}
        return due, due - held

    def _log(self, partition: Partition) -> list[tuple[float, PlainRecord]]:
        logs = self._topics.get(partition.topic, [])
        return logs[partition.partition] if partition.partition < len(logs) else []


class MemorySource:
    """The Source port: a member of a group. Partitions move only inside `poll` and `hold`, cooperatively.

    A test sets `on_hold` to something that happens, or fails, in each hold.
    """

    def __init__(
        self,
        cluster: MemoryCluster,
        topics: Sequence[str] = (TOPIC,),
        group: str = "starstream",
        *,
        reset: str = "earliest",
    ) -> None:
        self.topics = topics
        self._reset = reset
        self.group = group
        self.positions: dict[Partition, int] = {}
        self.faults = Faults()
        self.held_s = 0.0
        self.closed = False
        self.on_hold: Callable[[], None] = lambda: None
        self._cluster = cluster
        self._revoked: set[Partition] = set()
        self._joined = False
        cluster.join(self)

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self.faults.raise_next()
        self._rebalance()
        found = self._fetch(max_records)
        if not found:
            clock = self._cluster.clock
            arrives_in_s = self._cluster.next_arrival(self.positions) - clock.monotonic()
            clock.sleep(min(timeout_s, max(0.0, arrives_in_s)))
            found = self._fetch(max_records)
        return found

    def take_revoked(self) -> frozenset[Partition]:
        taken, self._revoked = frozenset(self._revoked), set()
        return taken

    def not_ready_reason(self) -> str | None:
        if self._joined:
            return None
        return joining_reason(self.group, [topic for topic in self.topics if not self._cluster.has(topic)])

    def offsets_past_markers(self) -> Mapping[Partition, int]:
        return {}  # no markers here

    def rewind(self, positions: Mapping[Partition, int]) -> None:
        for at, position in self.positions.items():
            committed = self._cluster.committed.get((self.group, at))
            if committed is not None and (at in positions or committed < position):
                self.positions[at] = committed
            else:
                self.positions[at] = positions.get(at, position)

    def hold(self, timeout_s: float) -> None:
        self.on_hold()
        self._rebalance()
        self._cluster.clock.sleep(timeout_s)
        self.held_s += timeout_s

    def close(self, timeout_s: float) -> None:
        del timeout_s
        self.positions.clear()
        self._cluster.leave(self)
        self.closed = True

    def _rebalance(self) -> None:
        due, free = self._cluster.share_of(self)
        for partition in set(self.positions) - due:
            del self.positions[partition]
            self._revoked.add(partition)
        for partition in free - set(self.positions):
            first = 0 if self._reset == "earliest" else self._cluster.end(partition)
            self.positions[partition] = self._cluster.committed.get((self.group, partition), first)
        self._joined = bool(self._cluster.partitions(self.topics))

    def _fetch(self, max_records: int) -> list[PlainRecord]:
        found: list[PlainRecord] = []
        for partition, position in sorted(self.positions.items()):
            for record in self._cluster.records(partition, position):
                if len(found) == max_records:
                    return found
                found.append(record)
                self.positions[partition] = record.offset + 1
        return found


MAX_MESSAGE_BYTES: Final = 1_048_588  # the default of a topic's max.message.bytes


class MemoryDelivery:
    """The Delivery port: publishes and commits in one step, so its `outcomes` are exactly those committed.

    `prepare` raises the errors of `faults`, `commit` those of `commit_faults`.
    """

    def __init__(self, cluster: MemoryCluster, settings: WorkerSettings, source: MemorySource) -> None:
        self.faults = Faults()
        self.commit_faults = Faults()
        self.ping_faults = Faults()
        self.outcomes: list[Outcome] = []
        self._prepared: tuple[Sequence[Outcome], Mapping[Partition, int]] | None = None
        self.commits: list[dict[Partition, int]] = []
        self.refuses_one_by_one = False
        self.refuses: Sequence[Record] = ()  # their ratings and deletions
        self.closed = False
        self._cluster = cluster
        self._settings = settings
        self._source = source

    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        self.faults.raise_next()
        lost = set(offsets) - self._cluster.owned_by(self._source)
        if lost:
            raise TransientError("kafka", f"commit: {len(lost)} partitions belong to another worker now")
        records = self._outgoing(outcomes)
        self._require(record.topic for record in records)
        refused = [
            outcome.record
            for outcome, record in zip(outcomes, records, strict=True)
            if size_of(record) > MAX_MESSAGE_BYTES
            or (outcome.record in self.refuses and not isinstance(outcome, Rejected))
        ]
        if refused:
            raise RefusedError("size", refused[:1] if self.refuses_one_by_one else refused, "publish: too large")
        self._prepared = outcomes, offsets

    def commit(self) -> None:
        assert self._prepared is not None, "commit without prepare"
        (outcomes, offsets), self._prepared = self._prepared, None
        self.commit_faults.raise_next()
        for record in self._outgoing(outcomes):
            self._publish(record)
        self.outcomes.extend(outcomes)
        self.commits.append(dict(offsets))
        for partition, offset in offsets.items():
            self._cluster.committed[self._source.group, partition] = offset

    def abort(self) -> None:
        self._prepared = None

    def ping(self) -> None:
        self.ping_faults.raise_next()
        self._require((self._settings.output_topic, self._settings.dead_letter_topic))

    def close(self, timeout_s: float) -> None:
        del timeout_s
        self.closed = True

    def _require(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if not self._cluster.has(topic):
                raise TransientError("kafka", f"{topic}: no such topic on the brokers; create it")

    def _outgoing(self, outcomes: Sequence[Outcome]) -> list[Outgoing]:
        return [outgoing(outcome, self._settings) for outcome in outcomes]

    def _publish(self, record: Outgoing) -> None:
        stamp = round(self._cluster.clock.wall() * 1000) if record.timestamp_ms is None else record.timestamp_ms
        partition = Partition(record.topic, sum(record.key or b"") % len(self._cluster.partitions([record.topic])))
        self._cluster.produce(PlainRecord(*partition, 0, stamp, record.key, record.value, tuple(record.headers)))


class _Position(NamedTuple):
    """A source position as the fence compares it."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int

    def order(self, new: _Position) -> int:
        """Return 1 when `new` is newer, 0 when it is the same position, -1 when it is older."""
        if self[:3] == new[:3]:
            return (new.offset > self.offset) - (new.offset < self.offset)
        if new.timestamp_ms != self.timestamp_ms:
            return 1 if new.timestamp_ms > self.timestamp_ms else -1
        return 1 if (new.offset, new.partition, new.topic) >= (self.offset, self.partition, self.topic) else -1


@dataclass(slots=True)
class _Row:
    rating: Rating
    position: _Position
    expires_at: float
    counted_in: str | None


@dataclass(slots=True)
class MemoryStore:
    """The Store port with the fence of `write.lua`. A flush that fails stores the first half of the batch."""

    clock: Clock
    ttl_s: int = 0
    marker_ttl_s: float = 24 * 3600.0
    topic_id: Callable[[str], str] = field(default=lambda _topic: "")
    faults: Faults = field(default_factory=Faults)
    ping_faults: Faults = field(default_factory=Faults)
    results: Counter[str] = field(default_factory=Counter)
    summaries: dict[str, Counter[str]] = field(default_factory=dict)
    _rows: dict[str, _Row] = field(default_factory=dict)
    _markers: dict[str, tuple[_Position, float]] = field(default_factory=dict)
    _sent: list[Rated | Deleted] = field(default_factory=list)

    def send(self, outcomes: Sequence[Outcome]) -> None:
        self._sent += [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]

    def flush(self) -> Mapping[str, int]:
        rows, self._sent = self._sent, []
        if not rows:
            return {}
        try:
            self.faults.raise_next()
        except ServiceError:
            self._write(rows[: len(rows) // 2])
            raise
        return self._write(rows)

    def abandon(self) -> None:
        self._sent = []

    def ping(self) -> None:
        self.ping_faults.raise_next()

    @property
    def ratings(self) -> dict[str, Rating]:
        """The ratings that have not expired, by id."""
        self._expire()
        return {review_id: row.rating for review_id, row in self._rows.items()}

    def expires_in_s(self, review_id: str) -> float:
        """Return the seconds until a rating expires, infinity if it never does."""
        return self._rows[review_id].expires_at - self.clock.monotonic()

    def _write(self, rows: Sequence[Rated | Deleted]) -> Mapping[str, int]:
        self._expire()
        counts = Counter(map(self._write_one, rows))
        self.results += counts
        return {name: counts[name] for name in WRITE_RESULTS}

    def _write_one(self, outcome: Rated | Deleted) -> str:
        review_id = outcome.review_id if isinstance(outcome, Deleted) else outcome.rating.review_id
        record = outcome.record
        new = _Position(record.topic, self.topic_id(record.topic), record.partition, record.offset, record.timestamp)
        row = self._rows.get(review_id)
        fence = row.position if row else self._markers.get(review_id, (None, 0.0))[0]
        order = fence.order(new) if fence else 1
        if order < 1:
            return "replayed" if order == 0 else "stale"
        if row and row.counted_in:
            self._count(row.counted_in, row.rating, -1)
        now = self.clock.monotonic()
        if isinstance(outcome, Deleted):
            self._rows.pop(review_id, None)
            self._markers[review_id] = (new, now + self.marker_ttl_s)
            return "deleted"
        self._markers.pop(review_id, None)
        rating = outcome.rating
        self._rows[review_id] = _Row(rating, new, now + (self.ttl_s or float("inf")), rating.app_id)
        if rating.app_id:
            self._count(rating.app_id, rating, 1)
        return "written"

    def _count(self, app_id: str, rating: Rating, by: int) -> None:
        summary = self.summaries.setdefault(app_id, Counter())
        summary["count"] += by
        if rating.rating is not None:
            summary["sum"] += by * rating.rating
            summary[f"count:{rating.rating}"] += by
            return
        for cell in ("labels", *(f"#{name}" for name in rating.labels or {})):
            summary[f"count:{cell}"] += by

    def _expire(self) -> None:
        now = self.clock.monotonic()
        self._rows = {key: row for key, row in self._rows.items() if row.expires_at > now}
        self._markers = {key: marker for key, marker in self._markers.items() if marker[1] > now}


class MemoryPoisonLedger:
    """The PoisonLedger port."""

    def __init__(self) -> None:
        self._attempts: dict[Partition, Attempt] = {}

    def load_attempts(self, partitions: Sequence[Partition]) -> Mapping[Partition, Attempt]:
        return {partition: self._attempts[partition] for partition in partitions if partition in self._attempts}

    def save_attempts(self, attempts: Mapping[Partition, Attempt]) -> None:
        self._attempts |= attempts


class StubDecoder:
    """The Decoder port on values that are plain texts, with the failures of a schema registry."""

    def __init__(self) -> None:
        self.faults, self.ping_faults = Faults(), Faults()

    def decode(self, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> str:
        del headers
        self.faults.raise_next()
        return value.decode()

    def key_text(self, key: bytes | None) -> bytes | None:
        return key

    def ping(self) -> None:
        self.ping_faults.raise_next()


class StubClassifier:
    """The Classifier port by two words: `love` is five stars, `bad` one, else three; `kaboom` cannot be rated."""

    version = "stub-1"
    tokens = 0

    def refresh(self) -> None:
        """The model never changes."""

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        self.tokens += sum(len(review.review.text.split()) for review in pending)
        return [self._rate(review, rated_at) for review in pending]

    def _rate(self, pending: Pending, rated_at: str) -> Rated | Rejected:
        words = pending.review.text.casefold().split()
        if REFUSED in words:
            return rejected(pending.record, "unratable", "text: refused", model_version=self.version)
        star = 5 if "love" in words else 1 if "bad" in words else 3
        rated = make_rated(pending.review_id, star, app_id=pending.review.app_id, record=pending.record)
        review = pending.review
        rating = replace(
            rated.rating,
            rated_at=rated_at,
            created_at=None if review.created_at is None else time_text(review.created_at),
            app_version=review.app_version,
            author_score=None if review.score is None else float(review.score),
        )
        return Rated(pending.record, rating, pending.author_stars(range(1, 6)))


def write(store: Store, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """Send a batch to the store, and wait until it is stored."""
    store.send(outcomes)
    return store.flush()


def commit(delivery: Delivery, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
    """Publish outcomes and commit offsets, as the loop does."""
    delivery.prepare(outcomes, offsets)
    delivery.commit()


def by_partition(records: Sequence[Record]) -> dict[Partition, list[int]]:
    """Return the offsets of each partition, in the order given."""
    found: dict[Partition, list[int]] = {}
    for record in records:
        found.setdefault(partition_of(record), []).append(record.offset)
    return found
