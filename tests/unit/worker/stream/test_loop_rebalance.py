"""The loop while partitions move between workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import TOPIC
from tests.fixtures.world import KAFKA_GONE, World


def test_records_of_revoked_partitions_are_dropped_and_rated_by_their_new_owner() -> None:
    world = World(batch=100)
    world.produce(*["love"] * 5, partition=0)
    world.produce(*["bad"] * 5, partition=1)
    world.pipeline.batcher.add(world.source.poll(100, 0.0), world.clock.monotonic())  # gathered, not settled
    other = world.another()
    world.pipeline.step()
    world.clock.advance(1.0)
    world.pipeline.step()
    assert {each.record.partition for each in world.outcomes} == {0}
    other.steps()
    assert [each.record.partition for each in other.outcomes] == [1] * 5
    assert len(world.outcomes) == 5


def test_a_partition_that_left_and_came_back_is_not_rewound_past_what_its_other_owner_settled() -> None:
    world = World(batch=100)
    world.produce(*["love"] * 5, partition=0)
    world.produce(*["bad"] * 5, partition=1)
    world.pipeline.batcher.add(world.source.poll(100, 0.0), world.clock.monotonic())  # gathered, not settled
    other = world.another()
    world.source.hold(0.0)  # the partition goes ...
    for _ in range(20):
        other.pipeline.step()
    other.source.close(1.0)
    world.source.hold(0.0)  # ... and comes back, before the loop looks
    world.source.faults.then(KAFKA_GONE)
    world.pipeline.step()
    world.steps()
    assert len(other.outcomes) == 5
    assert {each.record.partition for each in world.outcomes} == {0}
    assert len(world.outcomes) == 5


class Crew:
    """Workers of one group that come, go and fail."""

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


MOVES = (Crew.step, Crew.join, Crew.leave, Crew.fail, Crew.produce)


@given(st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 3)), max_size=60))
def test_members_that_come_and_go_settle_every_record_once(moves: list[tuple[Callable[..., None], int]]) -> None:
    """Cooperative rebalances between any two steps, with outages in between."""
    crew = Crew()
    for move, number in moves:
        move(crew, number)
    crew.finish()
    settled = [each.record for worker in crew.workers + crew.gone for each in worker.outcomes]
    assert Counter((each.partition, each.offset) for each in settled) == Counter(
        (each.partition, each.offset) for each in crew.first.cluster.all_records(TOPIC)
    )
