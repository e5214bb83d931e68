"""`erase`: removes one review from every place that the product writes, by tombstones, and says what it cannot reach.

Owns the order and the report. The tombstone in the input topic makes the workers delete the rating in Redis and publish
a tombstone; those in the dead-letter and shadow topics are sent from here. Nothing is deleted by offset: what lies
before it in a partition would go, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final

from schemas.dead_letter import ERASED
from schemas.input.fields import FieldFinder
from schemas.input.value import InvalidReviewError, load
from schemas.rating import Rating
from schemas.review import check_identifier
from worker.clock import SystemClock
from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import EARLIEST, LATEST, Point
from worker.kafka.outgoing import Outgoing
from worker.kafka.python.sender import Sender
from worker.kafka.python.topics import Topics
from worker.ops.text import printable
from worker.records import Partition, Record
from worker.redis.ratings import RatingsInRedis
from worker.settings import WorkerSettings

_ID: Final = 1  # of what `FieldFinder.find` returns
_POLL_S: Final = 0.2
_STAYS: Final = "it stays until the topic deletes it"
_ELSEWHERE: Final = (
    "files that `collect` or `predict` wrote, and models trained on them",
    "a feedback topic, what reads the ratings topic, other copies of the topics (mirrors, tiers, backups of brokers)",
    "Redis backups, and replicas that are cut off",
)


@dataclass
class _Report:
    """What was done and what was not, in lines."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Erase a review. INPUT when its rating is still in Redis at the end.

    Raises:
        SettingsError: the id cannot be one, or a topic is missing.
        ServiceError: Kafka or Redis does not answer; what was sent until then stays, and a second run sends it again.
    """
    review_id: str = known.review_id
    try:
        check_identifier("erase", review_id)
    except InvalidReviewError as error:
        raise SettingsError(str(error)) from error
    ratings = RatingsInRedis(settings)
    rating = ratings.rating(review_id)
    report = _Report()
    with closing(Topics(settings, SystemClock())) as topics:
        records = [*_of_stream(topics, settings, review_id, rating, report)]
        records += _of_letters(topics, settings, review_id, report)
        if settings.shadow_topic is not None and topics.partitions(settings.shadow_topic):
            records.append((_tombstone(settings.shadow_topic, review_id.encode()), None))
            _say_kept(topics, settings.shadow_topic, report)
    if not known.dry_run:
        _send(settings, records)
    gone = known.dry_run or _wait_until_gone(ratings, review_id, known.wait)
    _print(report, known.dry_run)
    if not gone:
        print(f"Redis still has the rating after {known.wait:g} s: no worker has read the tombstone; is one running?")
    return ExitCode.OK if gone else ExitCode.INPUT


def _of_stream(
    topics: Topics, settings: WorkerSettings, review_id: str, rating: Rating | None, report: _Report
) -> Iterator[tuple[Outgoing, int | None]]:
    """Yield the tombstone that workers read, in the partition where the review was read, if that is known."""
    topic, number = settings.input_topics[0], None
    topics.require(settings.input_topics, "WORKER_INPUT_TOPICS")
    if rating is not None and rating.source.topic in settings.input_topics:
        topic, number = rating.source.topic, rating.source.partition
        record = _record_at(topics, Partition(topic, number), rating.source.offset)
        if record is not None and record.key != review_id.encode():
            report.left.append(f"{_place(record)}: the review has another key: {_STAYS}")
    rated = "delete the rating in Redis and " if rating is not None else ""
    report.done.append(f"{topic}: a tombstone; workers {rated}publish one to {settings.output_topic}")
    _say_kept(topics, topic, report)
    _say_kept(topics, settings.output_topic, report)
    yield _tombstone(topic, review_id.encode()), number


def _of_letters(
    topics: Topics, settings: WorkerSettings, review_id: str, report: _Report
) -> list[tuple[Outgoing, int | None]]:
    """Return a tombstone for each partition and key of its dead letters."""
    topic = settings.dead_letter_topic
    if not topics.partitions(topic):
        return []
    found: dict[tuple[int, bytes], int] = {}
    finder = FieldFinder(settings.field_paths)
    for partition, span in topics.spans(topics.partitions(topic), EARLIEST, LATEST).items():
        for record in topics.read(partition, span):
            if record.value is None or not _is_of(record, review_id, finder):
                continue
            if record.key is None:
                report.left.append(f"{_place(record)}: a dead letter without a key: {_STAYS}")
            else:
                at = (partition.partition, record.key)
                found[at] = found.get(at, 0) + 1
    for (number, _), count in found.items():
        report.done.append(f"{topic}-{number}: a tombstone for {count} dead letters; `dlq redrive` leaves them out")
    if found:
        _say_kept(topics, topic, report)
    return [(_tombstone(topic, key), number) for number, key in found]


def _is_of(record: Record, review_id: str, finder: FieldFinder) -> bool:
    """Tell whether a dead letter is of this review, by its key or by the id in its value."""
    if record.key == review_id.encode():
        return True
    try:
        found = load(record.value or b"")
    except InvalidReviewError:
        return False
    return isinstance(found, dict) and str(finder.find(found)[_ID]) == review_id


def _record_at(topics: Topics, partition: Partition, offset: int) -> Record | None:
    if partition not in topics.partitions(partition.topic):
        return None
    span = topics.spans([partition], Point("offset", offset), Point("offset", offset + 1))[partition]
    return next(iter(topics.read(partition, span)), None) if span.size else None


def _tombstone(topic: str, key: bytes) -> Outgoing:
    return Outgoing(topic, key, None, [(ERASED, b"1")], None)


def _say_kept(topics: Topics, topic: str, report: _Report) -> None:
    """Say what a tombstone does not do in this topic."""
    compacts = topics.compacts(topic)
    if compacts:
        return
    kept_ms = topics.retention_ms(topic)
    until = "its retention ends" if kept_ms is None else f"its retention of {kept_ms / 86_400_000:g} days ends"
    how = "is not compacted (cleanup.policy)" if compacts is False else "may not be compacted (not allowed to ask)"
    report.left.append(f"{topic}: {how}: older records of this review stay until {until}")


def _send(settings: WorkerSettings, records: list[tuple[Outgoing, int | None]]) -> None:
    with closing(Sender(settings)) as sender:
        for record, number in records:
            sender.send(record, f"erase: a tombstone to {record.topic}", number)
        sender.flush()


def _wait_until_gone(ratings: RatingsInRedis, review_id: str, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while ratings.rating(review_id) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _print(report: _Report, dry_run: bool) -> None:
    print("would send:" if dry_run else "sent:")
    for line in report.done:
        print(f"  {printable(line)}")
    print("out of reach:")
    for line in (*report.left, *_ELSEWHERE):
        print(f"  {printable(line)}")


def _place(record: Record) -> str:
    return f"{record.topic}-{record.partition}@{record.offset}"
