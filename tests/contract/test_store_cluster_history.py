"""Summaries and trends in a cluster: right after every history with a crash between the steps, by a plain recount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.test_store_cluster import APPS, assert_exact, first_step, second_step
from tests.contract.test_store_trend import Said, said_of
from tests.contract.worlds import ClusterStoreWorld
from tests.doubles import write
from worker.records import Deleted, Outcome, Rated, Rejected
from worker.redis.store import RedisStore


def unsettled_step(store: RedisStore, replies: list[Any]) -> None:
    """Do the second step as a worker does that dies before the last."""
    counts = store._app_counts
    assert counts is not None
    settle = counts._settle
    counts._settle = type("Dead", (), {"send": lambda *_: None, "replies": lambda _: [], "abandon": lambda _: None})()
    try:
        counts.update(replies, store._ttl_s)
    finally:
        counts._settle = settle


Crash = Callable[[RedisStore, Sequence[Rated | Deleted]], object]
CRASHES: Final[dict[str, Crash | None]] = {
    "none": None,
    "nothing written": lambda _store, _outcomes: None,
    "half written": lambda store, outcomes: first_step(store, outcomes[: len(outcomes) // 2]),
    "written": first_step,
    "half counted": lambda store, outcomes: second_step(store, first_step(store, outcomes)[::2]),
    "not settled": lambda store, outcomes: unsettled_step(store, first_step(store, outcomes)),
    "all but the commit": lambda store, outcomes: second_step(store, first_step(store, outcomes)),
}


@dataclass(frozen=True)
class Batch:
    """Records that a worker reads at once.

    `crash` is where it dies before it commits; then another worker takes them over, before the next batch or at the
    end, and `other_model` says whether it rates them otherwise. `late`: the dead one was only suspended, and its second
    step comes after everything.
    """

    says: list[Said]
    crash: str = "none"
    at_end: bool = False
    other_model: bool = False
    late: bool = False
    taken_over: bool = field(default=False, compare=False)

    def outcomes(self) -> list[Outcome]:
        made = [one.outcome() for one in self.says]
        if not (self.taken_over and self.other_model):
            return made
        return [
            Rated(one.record, replace(one.rating, rating=6 - one.rating.rating, rated_at="2026-01-01T00:00:09.000Z"))
            if isinstance(one, Rated) and one.rating.rating is not None
            else one
            for one in made
        ]


batches = st.builds(
    Batch,
    says=st.lists(said_of(*APPS), min_size=1, max_size=6),
    crash=st.sampled_from(sorted(CRASHES)),
    at_end=st.booleans(),
    other_model=st.booleans(),
    late=st.booleans(),
)


def play(batch: Batch, store: RedisStore, zombies: list[Callable[[], None]]) -> bool:
    """Do a batch; whether it was committed."""
    crash = CRASHES[batch.crash]
    outcomes = [one for one in batch.outcomes() if not isinstance(one, Rejected)]
    if crash is None or batch.taken_over:
        write(store, outcomes)
        return True
    if batch.late:
        replies = first_step(store, outcomes)
        zombies.append(lambda: second_step(store, replies))
    else:
        crash(store, outcomes)
    return False


@given(st.lists(batches, max_size=6))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_history_with_crashes_between_the_steps_ends_with_a_recount(
    clustered_world: ClusterStoreWorld, history: list[Batch]
) -> None:
    """Workers die or hang between the steps, others take over, and reviews move between apps meanwhile."""
    world = clustered_world
    world.client.flushall(target_nodes="primaries")
    dying, living = world.workers
    zombies: list[Callable[[], None]] = []
    left: list[Batch] = []
    for batch in history:
        if not play(batch, dying, zombies):
            left.append(replace(batch, taken_over=True))
            if not batch.at_end:
                for taken in left:
                    play(taken, living, zombies)
                left.clear()
    for taken in left:
        play(taken, living, zombies)
    assert_exact(world, ["r1", "r2", "r3"])
    for second in zombies:
        second()
    assert_exact(world, ["r1", "r2", "r3"])
    keys = [f"{world.prefix}{kind}:{{{name}}}" for kind in ("rating", "deleted") for name in ("r1", "r2", "r3")]
    assert not any(world.client.hget(key, "counted_in") for key in keys), "apps that were told are forgotten"
