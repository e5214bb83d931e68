"""The loop while partitions move between workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import TOPIC
from tests.fixtures.world import KAFKA_GONE, World


def queued() -> World:
    """Return a worker that has read five records of each partition, and has settled none."""
    world = World(batch=100)
    world.produce(*["love"] * 5, partition=0)
    world.produce(*["bad"] * 5, partition=1)
    world.pipeline.batcher.add(world.source.poll(100, 0.0), world.clock.monotonic())
    return world


def test_records_of_revoked_partitions_are_dropped_and_rated_by_their_new_owner() -> None:
    world = queued()
    other = world.another()
    world.pipeline.step()
    world.clock.advance(1.0)
    world.pipeline.step()
    assert {outcome.record.partition for outcome in world.outcomes} == {0}
    other.steps()
    assert [outcome.record.partition for outcome in other.outcomes] == [1] * 5
    assert len(world.outcomes) == 5


def test_a_partition_that_returns_is_not_rewound_before_the_other_owners_commits() -> None:
    world = queued()
    other = world.another()
    world.source.hold(0.0)  # the partition is revoked ...
    for _ in range(20):
        other.pipeline.step()
    other.source.close(1.0)
    world.source.hold(0.0)  # ... and assigned again before the loop takes notice
    world.source.faults.then(KAFKA_GONE)
    world.pipeline.step()
    world.steps()
    assert len(other.outcomes) == 5
    assert {outcome.record.partition for outcome in world.outcomes} == {0}
    assert len(world.outcomes) == 5


class Group:
    """Workers of one group that join, leave and fail."""

    def __init__(self) -> None:
        self.first = World(batch=5, partitions=4)
        self.workers = [self.first]
        self.gone: list[World] = []

    def step(self, number: int) -> None:
        self._at(number).pipeline.step()

    def join(self, number: int) -> None:
        del number
        if len(self.workers) < 4:
            self.workers.append(self.first.another())

    def leave(self, number: int) -> None:
        if len(self.workers) > 1:
            worker = self._at(number)
            self.workers.remove(worker)
            self.gone.append(worker)
            worker.pipeline.stop()
            worker.pipeline.run()
            worker.source.close(1.0)

    def fail(self, number: int) -> None:
        self._at(number).delivery.faults.then(KAFKA_GONE)

    def produce(self, number: int) -> None:
        self.first.produce("love", "bad", partition=number)

    def finish(self) -> None:
        for _ in range(200):
            if self.first.lag == 0:
                return
            for worker in self.workers:
                worker.pipeline.step()
        raise AssertionError(f"{self.first.lag} records are not committed")

    def _at(self, number: int) -> World:
        return self.workers[number % len(self.workers)]


MOVES = (Group.step, Group.join, Group.leave, Group.fail, Group.produce)


@given(st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 3)), max_size=60))
def test_every_record_is_settled_once_as_members_come_and_go(
    moves: list[tuple[Callable[..., None], int]],
) -> None:
    """Cooperative rebalances between any two steps, with outages in between."""
    group = Group()
    for move, number in moves:
        move(group, number)
    group.finish()
    settled = [outcome.record for worker in group.workers + group.gone for outcome in worker.outcomes]
    assert Counter((record.partition, record.offset) for record in settled) == Counter(
        (record.partition, record.offset) for record in group.first.cluster.all_records(TOPIC)
    )
