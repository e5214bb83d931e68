"""Where reading begins and where it goes on, with a consumer that only answers and notes its seeks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.doubles import ManualClock, make_record
from worker.errors import TransientError
from worker.kafka.confluent.lag import LagTracker
from worker.kafka.confluent.seeks import Seeks
from worker.kafka.group import Ownership
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.settings import WorkerSettings

AT = Partition("reviews", 0)
_BEGINNING = -2


class Offsets:
    """A consumer, as far as `Seeks` uses it."""

    def __init__(self, committed: int | None) -> None:
        self.committed_offset = committed  # None: the brokers do not answer
        self.asked = 0
        self.seeks: list[int] = []

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> Sequence[TopicPartition]:
        assert 0 < timeout <= 30
        self.asked += 1
        if self.committed_offset is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        offset = -1001 if self.committed_offset < 0 else self.committed_offset
        return [TopicPartition(at.topic, at.partition, offset) for at in partitions]

    def seek(self, at: TopicPartition) -> None:
        self.seeks.append(at.offset)


class World:
    def __init__(self, committed: int | None, reset: str, metrics: Metrics, clock: ManualClock) -> None:
        settings = WorkerSettings(_env_file=None, auto_offset_reset=reset, request_timeout_s=30.0)
        self.consumer = Offsets(committed)
        self.ownership = Ownership(metrics)
        self.ownership.add([AT])
        clock.advance(10)  # `offsets_past_markers` answers once a second
        self.lag = LagTracker(metrics, clock)
        self.seeks = Seeks(settings, self.ownership, self.lag)

    def read(self, offset: int) -> bool:
        """Return whether a first record with this offset would be read, and carry out what follows."""
        record = make_record("x", partition=0, offset=offset)
        wrong = self.seeks.misplaced(self.consumer, {AT: record})
        if not wrong:
            self.ownership.reads.returned([record], {AT: record}, {AT: offset})
        self.seeks.carry_out(self.consumer)
        return not wrong

    def reach(self, offset: int) -> bool:
        """Return the same for a partition without records, whose end has this offset."""
        self.lag.reached_end(AT, offset)
        self.seeks.reached_end(AT, offset)
        wrong = self.seeks.misplaced(self.consumer, {})
        self.seeks.carry_out(self.consumer)
        return not wrong


@pytest.fixture
def make(metrics: Metrics, clock: ManualClock) -> Any:
    def made(committed: int | None, reset: str = "earliest") -> World:
        return World(committed, reset, metrics, clock)

    return made


@pytest.mark.parametrize(
    ("committed", "first", "reset"),
    [
        (5, 5, "earliest"),
        (5, 5, "latest"),
        (-1, 0, "earliest"),
        (-1, 7, "latest"),  # a new group starts at the end
        (5, 7, "earliest"),  # markers, or what compaction or retention removed
    ],
)
def test_a_partition_that_begins_where_it_should_is_read_and_asked_about_once(
    make: Any, committed: int, first: int, reset: str
) -> None:
    for begin in (World.read, World.reach):
        world = make(committed, reset)
        assert begin(world, first)
        assert world.read(first + 1)
        assert world.consumer.seeks == []
        assert world.consumer.asked == 1


@pytest.mark.parametrize(
    ("first", "reset"), [(0, "earliest"), (4, "earliest"), (0, "latest"), (7, "latest"), (10, "latest")]
)
def test_a_partition_that_begins_elsewhere_is_read_from_its_committed_offset(make: Any, first: int, reset: str) -> None:
    for begin in (World.read, World.reach):
        world = make(5, reset)
        assert not begin(world, first)
        assert world.consumer.seeks == [5]
        assert world.lag.offsets_past_markers() == {}, "an end that was not reached by reading is never committed"
        assert world.read(first), "a log that has no such offset is read from where it is reset to, and sought once"
        assert world.consumer.seeks == [5]


def test_nothing_is_read_before_the_committed_offset_is_known(make: Any) -> None:
    world = make(None)
    with pytest.raises(TransientError, match="read committed offsets"):
        world.read(0)
    with pytest.raises(TransientError, match="read committed offsets"):
        world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == []
    world.consumer.committed_offset = 5
    world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == [5]
    assert world.read(5)


def test_a_group_that_has_committed_nothing_misses_nothing_before_its_first_record(make: Any) -> None:
    world = make(-1, "latest")
    assert world.read(7)
    assert world.ownership.reads.take_gaps() == []
    world = make(5)
    assert world.read(7)
    assert world.ownership.reads.take_gaps() == [(AT, 5, 7)], "retention may have removed these"


@pytest.mark.parametrize(("committed", "offset", "target"), [(5, 7, 5), (5, 3, 5), (-1, 7, 7)])
def test_a_batch_that_failed_is_read_again_from_what_is_committed_or_else_from_its_first_record(
    make: Any, committed: int, offset: int, target: int
) -> None:
    world = make(committed)
    assert world.read(5)
    world.seeks.rewind({AT: 9})
    world.seeks.rewind({AT: offset})
    world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == [target]


def test_a_committed_offset_that_the_log_no_longer_has_is_not_gone_back_to(make: Any) -> None:
    world = make(5, "latest")
    assert not world.read(200)  # retention removed what was before; reading began at the end
    assert world.read(200)
    assert world.read(250)
    world.seeks.rewind({AT: 200})
    world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == [5, 200], "at 5 it would begin at the end again, past 200"


@pytest.mark.parametrize(("committed", "seeks"), [(5, [5]), (7, [7]), (9, []), (12, []), (3, []), (-1, [])])
def test_a_partition_without_a_failed_batch_goes_back_to_a_commit_that_was_undone(
    make: Any, committed: int, seeks: list[int]
) -> None:
    world = make(5)
    assert world.read(5)
    assert world.read(8)
    world.consumer.committed_offset = committed
    world.seeks.check([AT])
    world.seeks.carry_out(world.consumer)
    world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == seeks
    assert world.consumer.asked == 2, "where reading began, and once after the failure"


def test_a_partition_that_is_not_owned_is_not_sought(make: Any) -> None:
    world = make(5)
    world.seeks.rewind({Partition("reviews", 1): 3})
    world.seeks.check([Partition("reviews", 2)])
    world.seeks.carry_out(world.consumer)
    assert world.consumer.asked == 0


def test_records_that_were_not_returned_are_read_from_the_committed_offset(make: Any) -> None:
    world = make(5, "latest")
    world.seeks.rewind({AT: 8})  # as `hold` does; where they begin was not looked at
    world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == [5]


def test_a_topic_created_again_is_read_from_its_beginning_whatever_is_committed(make: Any) -> None:
    world = make(5)
    assert world.read(5)
    world.seeks.restart(AT.topic)
    world.seeks.carry_out(world.consumer)
    assert world.consumer.seeks == [_BEGINNING]
    assert world.read(0)
    assert world.consumer.seeks == [_BEGINNING]


def test_a_partition_that_was_away_is_asked_about_again(make: Any) -> None:
    world = make(5)
    assert world.read(5)
    world.seeks.reached_end(AT, 9)
    world.ownership.remove([AT], "revoked")
    world.seeks.forget([AT])
    world.ownership.add([AT])
    assert world.seeks.misplaced(world.consumer, {}) == set(), "that end was seen before the partition was revoked"
    world.consumer.committed_offset = 8
    assert not world.read(0)
    assert world.consumer.seeks == [8]
