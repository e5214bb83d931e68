"""A replay's loop: it ends when all records are committed, and not before."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fixtures.world import KAFKA_GONE, World
from worker.replay.loop import run_to_end


def ended(world: World) -> bool:
    partitions = world.cluster.partitions(["reviews"])
    return world.source.positions == {partition: world.cluster.end(partition) for partition in partitions}


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_run_ends_when_all_is_committed_and_not_before(fails: int) -> None:
    world = World(batch=4)
    world.produce(*["good app"] * 10)
    world.produce(*["bad app"] * 3, partition=1)
    world.delivery.faults.then(*[None] * 3, *[KAFKA_GONE] * fails)  # the last batch
    steps = Counter[str]()
    assert run_to_end(world.pipeline, lambda: ended(world), lambda: steps.update(["step"]))
    assert world.lag == 0
    world.assert_settled_once()
    assert steps["step"] >= 4


def test_stopped_run_commits_what_it_read_and_is_not_done() -> None:
    world = World(batch=4)
    world.produce(*["good app"] * 10)

    def stop_after_two_batches() -> None:
        if len(world.outcomes) >= 8:
            world.pipeline.stop()

    assert not run_to_end(world.pipeline, lambda: ended(world), stop_after_two_batches)
    assert (len(world.outcomes), world.lag) == (8, 2)


def test_run_stopped_at_its_end_is_done_only_if_the_drain_succeeded() -> None:
    for fault in (None, KAFKA_GONE):
        world = World(batch=100)
        world.produce(*["good app"] * 10)
        world.delivery.faults.then(fault)
        assert run_to_end(world.pipeline, lambda w=world: ended(w), world.pipeline.stop) is (fault is None)  # type: ignore[misc]
        assert world.lag == (0 if fault is None else 10)
