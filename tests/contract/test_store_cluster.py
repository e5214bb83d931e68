"""Summaries and trends in a cluster: what becomes of a crash, a move, a lost server, a slot on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import pytest

from deploy.process import LOOPBACK, wait_until
from deploy.redis import LocalRedis
from schemas.rating import Rating, rating_key, summary_key
from tests import PATIENCE_S
from tests.contract.test_redis_failover import admin
from tests.contract.test_store_redis import answered
from tests.contract.test_store_trend import HOUR, Said, counted, recount
from tests.contract.worlds import ClusterStoreWorld
from tests.doubles import write
from tests.fixtures.clustered import cluster_with_replicas, fail_over
from worker.errors import TransientError
from worker.records import Outcome, Rated
from worker.redis.store import RedisStore
from worker.redis.trend import trend_key

APPS: Final = ("app", "other")


def summary_of(ratings: Sequence[Rating]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for rating in ratings:
        assert rating.rating is not None
        found.update({"count": 1, "sum": rating.rating, f"count:{rating.rating}": 1})
    return dict(found)


def assert_exact(world: ClusterStoreWorld, review_ids: Sequence[str], apps: Sequence[str] = APPS) -> None:
    """Summaries and trends are a recount of the ratings that are stored."""
    stored = [rating for name in review_ids if (rating := world.rating(name)) is not None]
    for app in apps:
        its = [rating for rating in stored if rating.app_id == app]
        assert world.summary(app) == summary_of(its), app
        assert counted(world, app) == (recount(its) if world.form == 2 else ({}, {})), app


def first_step(store: RedisStore, outcomes: Sequence[Outcome]) -> list[Any]:
    """Write ratings as a worker does that dies before the second step; return what that would begin with."""
    store.send(outcomes)
    return store._servers.replies()


def second_step(store: RedisStore, replies: list[Any]) -> None:
    assert store._app_counts is not None
    store._app_counts.update(replies, store._ttl_s)


@pytest.fixture
def world(redis_cluster: Sequence[LocalRedis]) -> Iterator[ClusterStoreWorld]:
    made = ClusterStoreWorld(redis_cluster[0], 2)
    yield made
    made.close()


def test_an_app_is_on_one_server_and_its_ratings_are_on_all(world: ClusterStoreWorld) -> None:
    write(world.store(), [Said(5, number, review_id=f"r{number}").outcome() for number in range(40)])
    client: Any = world.client
    keys = [summary_key("app", prefix=world.prefix), trend_key("app", HOUR // 24, prefix=world.prefix)]
    notes = list(client.scan_iter(f"{world.prefix}counted:*"))
    assert len(notes) == 40
    assert len({client.keyslot(key) for key in [*keys, *notes]}) == 1
    nodes = {client.get_node_from_key(rating_key(f"r{number}", prefix=world.prefix)).name for number in range(40)}
    assert len(nodes) == 3
    assert_exact(world, [f"r{number}" for number in range(40)])


def test_a_dead_worker_s_step_is_made_up_for_by_whoever_rates_the_review_next(world: ClusterStoreWorld) -> None:
    """Two ratings, a move and a deletion come before any second step."""
    dead, store = world.store(), world.store()
    write(dead, [Said(5, 1).outcome()])
    for said in (Said(4, 2), Said(3, 3, app="other"), Said(2, 4, app="third"), Said(None, 5)):
        first_step(dead, [said.outcome()])
    assert world.summary("app") == {"count": 1, "sum": 5, "count:5": 1}, "as it was before"
    write(store, [Said(None, 5).outcome()])
    assert_exact(world, ["r1"], ["app", "other", "third"])
    assert world.summary("app") == {}


@pytest.mark.parametrize("ttl_s", [1000, 0, 10 * 24 * 3600])
def test_apps_that_were_not_told_are_remembered_for_as_long_as_they_may_count(
    ttl_s: int, world: ClusterStoreWorld
) -> None:
    """A deletion's marker lives for a day; while an app still counts the review it lives as long as a rating."""
    store, client = world.store(ttl_s=ttl_s), world.client
    write(store, [Said(5, 1).outcome()])
    marker = f"{world.prefix}deleted:{{r1}}"
    first_step(store, [Said(None, 2).outcome()])
    day_s = 24 * 3600
    ttl: Any = client.ttl(marker)
    assert ttl == pytest.approx({1000: day_s, 0: -1}.get(ttl_s, ttl_s), abs=20)
    write(store, [Said(None, 2).outcome()])
    ttl = client.ttl(marker)
    assert (ttl, client.hget(marker, "counted_in")) == (pytest.approx(day_s, abs=20), "")


def test_a_note_outlives_its_rating(world: ClusterStoreWorld) -> None:
    """By a day: two servers' clocks may differ, and a rating that expires last would be counted twice."""
    write(world.store(ttl_s=1000), [Said(5, 1).outcome()])
    note = f"{world.prefix}counted:{{app}}:r1"
    assert world.client.ttl(note) == pytest.approx(1000 + 24 * 3600, abs=20)
    world.client.delete(rating_key("r1", prefix=world.prefix))
    write(world.store(ttl_s=1000), [Said(3, 2).outcome()])
    assert_exact(world, ["r1"])
    world.client.delete(rating_key("r1", prefix=world.prefix), note)
    write(world.store(ttl_s=1000), [Said(1, 3).outcome()])
    assert world.summary("app") == {"count": 2, "sum": 4, "count:3": 1, "count:1": 1}, "as new, as on a single server"
    write(world.store(ttl_s=0), [Said(1, 4).outcome()])
    assert world.client.ttl(note) == -1


def test_what_a_server_has_lost_is_counted_again_when_the_topic_is_restored(world: ClusterStoreWorld) -> None:
    """The same records again: `restore` writes what the topic has, and the ratings that are there are replays."""
    store, said = world.store(), [Said(5, 1), Said(4, 2, review_id="r2"), Said(3, 3, review_id="r2", app="other")]
    write(store, [one.outcome() for one in said])
    lost = [summary_key("app", prefix=world.prefix), trend_key("app", HOUR // 24, prefix=world.prefix)]
    lost += [f"{world.prefix}counted:{{app}}:{name}" for name in ("r1", "r2")]
    world.client.delete(*lost)
    world.client.delete(rating_key("r2", prefix=world.prefix))  # of another server
    write(store, [Said(None, 4, review_id="r2").outcome()])
    assert world.summary("other") == {"count": 1, "sum": 3, "count:3": 1}, "who counted it is lost with the rating"
    write(world.store(), [one.outcome() for one in said])
    assert_exact(world, ["r1", "r2"])
    assert world.summary("app")["count"] == 1


def test_a_worker_that_counts_nothing_takes_back_what_was_counted(world: ClusterStoreWorld) -> None:
    write(world.store(), [Said(5, 1).outcome(), Said(4, 2, review_id="r2").outcome()])
    quiet = world.store(redis_summary=False)
    write(quiet, [Said(3, 3).outcome(), Said(3, 4, review_id="r3").outcome()])
    assert world.summary("app") == {"count": 1, "sum": 4, "count:4": 1}
    assert not world.client.exists(f"{world.prefix}counted:{{app}}:r3")


def test_an_app_is_forgotten_only_by_the_step_that_told_it(world: ClusterStoreWorld) -> None:
    """A suspended worker told one app; meanwhile another worker, which counts nothing, rated the same record again."""
    late, quiet = world.store(), world.store(redis_summary=False)
    write(late, [Said(5, 1).outcome()])
    moved = Said(4, 2, app="other").outcome()
    assert isinstance(moved, Rated)
    replies = first_step(late, [moved])
    again = Rated(moved.record, replace(moved.rating, rated_at="2026-01-01T00:00:09.000Z"))
    first_step(quiet, [again])
    second_step(late, replies)
    write(quiet, [again])
    assert (world.summary("app"), world.summary("other")) == ({}, {})


def test_an_app_without_a_slot_of_its_own_is_not_counted(world: ClusterStoreWorld) -> None:
    """`summary:{}x}` has no hash tag, so its trend is elsewhere."""
    write(world.store(), [Said(5, 1, app="}x").outcome(), Said(4, 2, review_id="r2").outcome()])
    assert world.rating("r1") is not None
    assert (world.summary("}x"), world.summary("app")["count"]) == ({}, 1)


def test_a_note_of_another_program_costs_its_own_count_only(world: ClusterStoreWorld) -> None:
    for name, other in (("r1", "lpush"), ("r2", "set")):
        getattr(world.client, other)(f"{world.prefix}counted:{{app}}:{name}", "x")
    write(world.store(), [Said(5, number, review_id=f"r{number}").outcome() for number in range(1, 4)])
    assert world.summary("app")["count"] == 1
    named = {event.fields["key"] for event in world.log.events if event.event == "redis_key_refused"}
    assert named == {f"{world.prefix}counted:{{app}}:{name}" for name in ("r1", "r2")}


def test_a_failover_between_the_steps_loses_no_count(stack: ExitStack) -> None:
    """The primary of the app's keys dies before, and that of the ratings after the second step."""
    nodes = stack.enter_context(cluster_with_replicas())
    world = ClusterStoreWorld(nodes[1], 2)
    stack.callback(world.close)
    store = world.store(redis_wait_replicas=1)
    said = [Said(1 + number % 5, number, review_id=f"r{number}", app=APPS[number % 2]) for number in range(60)]
    write(store, [one.outcome() for one in said])
    said = [replace(one, offset=one.offset + 100, star=5, app="app") for one in said]
    first_step(store, [one.outcome() for one in said])
    port = store._client.get_node_from_key(summary_key("app", prefix=world.prefix)).port
    primary = next(node for node in nodes if node.port == port)
    fail_over(nodes, primary)

    def again() -> None:
        write(store, [one.outcome() for one in said])

    with pytest.raises(TransientError):
        again()
    wait_until(lambda: answered(store.ping) and answered(again), PATIENCE_S, "an answer of the new primary")
    assert_exact(world, [f"r{number}" for number in range(60)])
    assert world.summary("app")["count"] == 60


def test_a_slot_that_moves_is_waited_for_before_anything_is_counted(stack: ExitStack) -> None:
    """The summary and the notes are still here, a day of the trend is not: the script finds that out by itself."""
    nodes = stack.enter_context(cluster_with_replicas(2, replicas=False))
    world = ClusterStoreWorld(nodes[0], 2)
    stack.callback(world.close)
    store = world.store()
    client: Any = world.client
    write(store, [Said(5, 1).outcome()])
    slot = client.keyslot(summary_key("app", prefix=world.prefix))
    here = client.get_node_from_key(summary_key("app", prefix=world.prefix)).port
    first, second = (admin(stack, node) for node in sorted(nodes, key=lambda node: node.port != here))
    names = [one.execute_command("CLUSTER MYID") for one in (first, second)]
    second.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[0])
    first.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[1])
    day, to = trend_key("app", HOUR // 24, prefix=world.prefix), second.connection_pool.connection_kwargs["port"]
    first.migrate(LOOPBACK, to, day, 0, 5000)
    with pytest.raises(TransientError):
        write(store, [Said(3, 2).outcome()])
    assert first.hget(summary_key("app", prefix=world.prefix), "sum") == "5", "nothing is half counted"
    for key in first.cluster("GETKEYSINSLOT", slot, 10):
        first.migrate(LOOPBACK, to, key, 0, 5000)
    for one in (second, first):
        one.execute_command("CLUSTER SETSLOT", slot, "NODE", names[1])
    wait_until(lambda: answered(lambda: write(store, [Said(3, 2).outcome()])), PATIENCE_S, "the moved slot")
    assert_exact(world, ["r1"])
