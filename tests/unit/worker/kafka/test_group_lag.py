"""Lag, age and losses come from what the brokers say, whatever the worker has fetched."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from tests.doubles import ManualClock, MemoryLog, make_record
from worker.errors import TransientError
from worker.kafka.group import Ownership
from worker.kafka.group_lag import GroupLag, OffsetReader, Offsets
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.settings import WorkerSettings

AT, OTHER = Partition("reviews", 0), Partition("reviews", 1)


class Brokers(OffsetReader):
    """Answers with what a test puts in."""

    def __init__(self) -> None:
        self.offsets = {AT: Offsets(40, 0, 100), OTHER: Offsets(None, 5, 25)}

    def read(self, partitions: Collection[Partition] | None) -> Mapping[Partition, Offsets]:
        return {at: found for at, found in self.offsets.items() if partitions is None or at in partitions}

    def close(self) -> None: ...


class World:
    def __init__(self, metrics: Metrics, clock: ManualClock, log: MemoryLog, reset: str = "earliest") -> None:
        self.brokers = Brokers()
        self.ownership = Ownership(metrics)
        self.health = Health(clock, stall_s=1)
        settings = WorkerSettings(_env_file=None, auto_offset_reset=reset)
        self.lag = GroupLag(
            self.brokers,
            settings,
            self.ownership,
            clock=clock,
            metrics=metrics,
            health=self.health,
            log=log,
        )
        self._metrics = metrics

    def shown(self, name: str, at: Partition = AT) -> float | None:
        labels = {"topic": at.topic, "partition": str(at.partition)}
        return self._metrics.registry.get_sample_value(f"starstream_{name}", labels)

    def read(self, first: int, count: int, *, age_s: float = 0.0, clock: ManualClock | None = None) -> None:
        wall_ms = 0 if clock is None else int((clock.wall() - age_s) * 1000)
        records = [make_record(offset=offset, timestamp=wall_ms) for offset in range(first, first + count)]
        self.ownership.reads.returned(records, {AT: records[0]}, {AT: records[-1].offset})


@pytest.fixture
def world(metrics: Metrics, clock: ManualClock, log: MemoryLog) -> World:
    return World(metrics, clock, log)


def test_lag_counts_from_the_commit_and_not_from_what_was_read(world: World) -> None:
    world.ownership.add([AT])
    world.read(40, 60)
    world.lag.update()
    assert world.shown("consumer_lag_records") == 60
    assert world.shown("consumer_lag_records", OTHER) is None, "another worker's"


def test_before_it_has_joined_a_worker_shows_all_partitions_and_then_only_its_own(world: World) -> None:
    world.lag.update()
    assert (world.shown("consumer_lag_records"), world.shown("consumer_lag_records", OTHER)) == (60, 20)
    world.ownership.add([OTHER])
    world.lag.update()
    assert (world.shown("consumer_lag_records"), world.shown("consumer_lag_records", OTHER)) == (0, 20)
    world.ownership.remove([OTHER], "lost")
    world.lag.update()
    assert (world.shown("consumer_lag_records"), world.shown("consumer_lag_records", OTHER)) == (60, 20)


@pytest.mark.parametrize(("reset", "lag"), [("earliest", 30), ("latest", 10)])
def test_a_group_without_commits_starts_where_the_setting_says(
    reset: str, lag: int, metrics: Metrics, clock: ManualClock, log: MemoryLog
) -> None:
    world = World(metrics, clock, log, reset)
    world.ownership.add([OTHER])
    world.lag.update()
    world.brokers.offsets[OTHER] = Offsets(None, 5, 35)
    world.lag.update()
    assert world.shown("consumer_lag_records", OTHER) == lag


def test_age_is_that_of_the_first_record_that_is_not_committed(world: World, clock: ManualClock) -> None:
    world.ownership.add([AT])
    world.read(30, 10, age_s=9000, clock=clock)
    world.read(40, 10, age_s=3600, clock=clock)
    world.read(50, 10, age_s=60, clock=clock)
    world.lag.update()
    assert world.shown("consumer_behind_seconds") == 3600
    world.brokers.offsets[AT] = Offsets(100, 0, 100)
    world.lag.update()
    assert world.shown("consumer_behind_seconds") == 0


@pytest.mark.parametrize("timestamp_s", [None, 10**9], ids=["nothing read since the commit", "a time in the future"])
def test_without_a_usable_timestamp_age_grows_from_when_the_lag_was_seen(
    timestamp_s: float | None, world: World, clock: ManualClock
) -> None:
    world.ownership.add([AT])
    world.read(*((30, 10) if timestamp_s is None else (40, 10)), age_s=-(timestamp_s or -9000), clock=clock)
    for _ in range(3):
        world.lag.update()
        clock.advance(100)
    assert world.shown("consumer_behind_seconds") == 200


def test_the_last_values_stay_while_the_brokers_do_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ownership.add([AT])
    world.lag.update()

    def away(_: object) -> Mapping[Partition, Offsets]:
        raise TransientError("kafka", "away")

    monkeypatch.setattr(world.brokers, "read", away)
    with pytest.raises(TransientError):
        world.lag.update()
    assert world.shown("consumer_lag_records") == 60


def lost(log: MemoryLog) -> list[tuple[object, object]]:
    return [(event.fields["first_offset"], event.fields["records"]) for event in log.events]


def test_records_removed_while_the_worker_holds_are_counted_once(world: World, log: MemoryLog) -> None:
    world.ownership.add([AT])
    for begin in (0, 50, 50, 70):
        world.brokers.offsets[AT] = Offsets(40, begin, 100)
        world.lag.update()
    world.ownership.reads.sought({AT: 40})
    world.read(70, 10)
    world.lag.update()
    assert lost(log) == [(40, 10), (50, 20)]
    assert world.shown("records_lost_total") == 30


@pytest.mark.parametrize(("begin", "counted"), [(60, [(50, 10)]), (45, [])], ids=["removed", "markers"])
@pytest.mark.parametrize("polls", [1, 2])
def test_a_gap_is_a_loss_when_the_log_begins_after_it(
    polls: int, begin: int, counted: list[tuple[int, int]], world: World, log: MemoryLog
) -> None:
    world.ownership.add([AT])
    world.ownership.reads.sought({AT: 40})
    records = [make_record(offset=offset) for offset in (*range(40, 50), *range(61, 70))]
    for part in [records] if polls == 1 else [records[:10], records[10:]]:
        world.ownership.reads.returned(part, {AT: part[0]}, {AT: part[-1].offset})
    world.brokers.offsets[AT] = Offsets(70, begin, 100)
    world.lag.update()
    assert lost(log) == counted


def test_what_another_worker_read_meanwhile_is_no_loss(world: World, log: MemoryLog) -> None:
    world.ownership.add([AT])
    world.read(40, 10)
    world.ownership.remove([AT], "revoked")
    world.ownership.add([AT])
    world.read(80, 10)
    world.brokers.offsets[AT] = Offsets(90, 60, 100)
    world.lag.update()
    assert lost(log) == []


def test_a_member_without_partitions_is_noted_and_said_once(world: World, log: MemoryLog) -> None:
    world.ownership.add([])
    for _ in range(2):
        world.lag.update()
    assert world.health.notes == {"group": "no partitions: standing by"}
    assert log.names == ["standing_by"]
    world.ownership.add([AT])
    world.lag.update()
    assert world.health.notes == {}


def test_counters_of_losses_start_at_0(world: World) -> None:
    world.ownership.add([AT])
    world.lag.update()
    assert world.shown("records_lost_total") == 0
