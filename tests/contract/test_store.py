"""The Store port: the effect of a write after every kind of earlier write, in memory and in Redis."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.redis import LocalRedis
from tests.contract.worlds import MemoryStoreWorld, RedisStoreWorld, StoreWorld
from tests.doubles import make_rated, make_record, write
from worker.records import Deleted, Outcome, Partition, Rated
from worker.stream.ports import Attempt
from worker.stream.rejection import rejected


@dataclass(frozen=True)
class Write:
    """One outcome of the review `r1`, read at a position: a rating with `star` stars, or a deletion if None."""

    star: int | None
    offset: int
    partition: int = 0
    topic: str = "reviews"
    at: int = 1000
    app: str | None = "app"
    review_id: str = "r1"

    def outcome(self) -> Outcome:
        record = make_record(partition=self.partition, offset=self.offset, topic=self.topic, timestamp=self.at)
        if self.star is None:
            return Deleted(record, self.review_id)
        return make_rated(self.review_id, self.star, app_id=self.app, record=record)


# Earlier writes, the next write, its result, and the stars stored afterwards (None: no rating).
FENCE_CASES: dict[str, tuple[list[Write], Write, str, int | None]] = {
    "nothing before": ([], Write(5, 10), "written", 5),
    "later offset": ([Write(5, 10)], Write(1, 11), "written", 1),
    "same position again": ([Write(5, 10)], Write(5, 10), "replayed", 5),
    "older offset": ([Write(5, 10)], Write(1, 9), "stale", 5),
    "older offset, later time": ([Write(5, 10, at=1000)], Write(1, 9, at=2000), "stale", 5),
    "later offset, older time": ([Write(5, 10, at=2000)], Write(1, 11, at=1000), "written", 1),
    "other partition, later time": ([Write(5, 10, at=1000)], Write(1, 3, partition=1, at=1001), "written", 1),
    "other partition, older time": ([Write(5, 10, at=1000)], Write(1, 99, partition=1, at=999), "stale", 5),
    "other topic, later time": ([Write(5, 10, at=1000)], Write(1, 3, topic="more", at=1001), "written", 1),
    "other topic, older time": ([Write(5, 10, at=1000)], Write(1, 99, topic="more", at=999), "stale", 5),
    "other partition, same time, higher offset": ([Write(5, 10)], Write(1, 11, partition=1), "written", 1),
    "other partition, same time, lower offset": ([Write(5, 10)], Write(1, 9, partition=1), "stale", 5),
    "deletion": ([Write(5, 10)], Write(None, 11), "deleted", None),
    "deletion of nothing": ([], Write(None, 11), "deleted", None),
    "deletion again": ([Write(5, 10), Write(None, 11)], Write(None, 11), "replayed", None),
    "older deletion": ([Write(5, 10)], Write(None, 9), "stale", 5),
    "late write after a deletion": ([Write(5, 10), Write(None, 11)], Write(5, 10), "stale", None),
    "late write after a deletion of nothing": ([Write(None, 11)], Write(5, 10), "stale", None),
    "new write after a deletion": ([Write(5, 10), Write(None, 11)], Write(4, 12), "written", 4),
    "replay of the write after a deletion": (
        [Write(5, 10), Write(None, 11), Write(4, 12)], Write(4, 12), "replayed", 4,
    ),
    "replay of the deletion after a new write": (
        [Write(5, 10), Write(None, 11), Write(4, 12)], Write(None, 11), "stale", 4,
    ),
}  # fmt: skip


def stars(world: StoreWorld, review_id: str = "r1") -> int | None:
    rating = world.rating(review_id)
    return rating.rating if rating else None


@pytest.mark.parametrize("case", FENCE_CASES)
def test_the_fence_lets_only_newer_writes_pass(case: str, store_world: StoreWorld) -> None:
    before, now, result, star = FENCE_CASES[case]
    store = store_world.store()
    for first in [Write(3, 0, review_id="another"), *before]:
        write(store, [first.outcome()])
    earlier = store_world.results()
    write(store, [now.outcome()])
    gained = {name: count - earlier[name] for name, count in store_world.results().items() if count != earlier[name]}
    assert gained == {result: 1}
    assert stars(store_world) == star
    summary = Counter({"count": 1, "sum": 3, "count:3": 1})
    summary.update({} if star is None else {"count": 1, "sum": star, f"count:{star}": 1})
    assert store_world.summary("app") == summary


@pytest.mark.parametrize("case", FENCE_CASES)
def test_the_fence_holds_within_one_batch(case: str, store_world: StoreWorld) -> None:
    before, now, _, star = FENCE_CASES[case]
    store = store_world.store()
    for one in [*before, now]:
        store.send([one.outcome()])
    store.flush()
    assert stars(store_world) == star


def test_records_of_a_recreated_topic_are_not_stale(store_world: StoreWorld) -> None:
    store = store_world.store()
    store_world.topic_ids["reviews"] = "old"
    write(store, [Write(5, 1000, at=1000).outcome()])
    store_world.topic_ids["reviews"] = "new"
    write(store, [Write(1, 3, at=2000).outcome()])
    assert stars(store_world) == 1
    write(store, [Write(2, 2, at=3000).outcome()])
    assert store_world.results()["stale"] == 1


def test_every_field_reads_back(store_world: StoreWorld) -> None:
    rated = make_rated("r/ü 🙂", 4, app_id="com.example", record=make_record(partition=3, offset=2**40))
    bare = make_rated("r1", 4)
    uncertain = replace(bare, rating=replace(bare.rating, uncertain=True))
    write(store_world.store(), [rated, uncertain])
    assert store_world.rating("r/ü 🙂") == rated.rating
    assert store_world.rating("r1") == uncertain.rating


def test_a_timestamp_in_microseconds_keeps_its_precision(store_world: StoreWorld) -> None:
    store = store_world.store()
    write(store, [Write(5, 1, at=1767225600000123, partition=0).outcome()])
    write(store, [Write(1, 1, at=1767225600000122, partition=1).outcome()])
    assert stars(store_world) == 5
    write(store, [Write(1, 1, at=1767225600000124, partition=1).outcome()])
    assert stars(store_world) == 1


def test_a_batch_sent_in_chunks_is_written_once(store_world: StoreWorld) -> None:
    store = store_world.store()
    batch = [Write(star, offset, review_id=f"r{offset}").outcome() for offset, star in enumerate([5, 5, 1, 4, 2])]
    store.send(batch[:2])
    store.send(batch[2:])
    assert store.flush() == {"written": 5, "replayed": 0, "stale": 0, "deleted": 0, "refused": 0}
    assert store_world.summary("app") == {"count": 5, "sum": 17, "count:5": 2, "count:1": 1, "count:4": 1, "count:2": 1}


def test_an_abandoned_batch_can_be_sent_again(store_world: StoreWorld) -> None:
    store = store_world.store()
    store.send([Write(5, 7).outcome()])
    store.abandon()
    write(store, [Write(5, 7).outcome()])
    assert store_world.summary("app") == {"count": 1, "sum": 5, "count:5": 1}


def test_a_dead_letter_is_not_stored(store_world: StoreWorld) -> None:
    store = store_world.store()
    write(store, [rejected(make_record(b"\xff", key=b"r1"), "not_utf8", "x", model_version="v")])
    write(store, [])
    assert store_world.rating("r1") is None
    assert sum(store_world.results().values()) == 0


def test_a_rating_expires_after_the_ttl(store_world: StoreWorld) -> None:
    write(store_world.store(ttl_s=100), [Write(5, 1).outcome()])
    assert 95 < store_world.expires_in_s("r1") <= 100
    write(store_world.store(ttl_s=0), [Write(5, 2).outcome()])
    assert store_world.expires_in_s("r1") == float("inf")


def test_a_rating_of_labels_counts_once_and_as_each_of_its_labels(store_world: StoreWorld) -> None:
    def labelled(offset: int, labels: dict[str, float]) -> Rated:
        rated = make_rated("r1", 4, app_id="app", record=make_record(offset=offset))
        return Rated(rated.record, replace(rated.rating, rating=None, expected_rating=None, labels=labels))

    store = store_world.store()
    write(store, [labelled(1, {"joy": 0.9, "love": 0.5})])
    assert store_world.summary("app") == {"count": 1, "count:labels": 1, "count:#joy": 1, "count:#love": 1}
    write(store, [labelled(2, {"anger": 0.9})])
    assert store_world.summary("app") == {"count": 1, "count:labels": 1, "count:#anger": 1}
    stored = store_world.rating("r1")
    assert stored is not None
    assert (stored.rating, stored.labels) == (None, {"anger": 0.9})
    write(store, [make_rated("r1", 4, app_id="app", record=make_record(offset=3))])
    assert store_world.summary("app") == {"count": 1, "sum": 4, "count:4": 1}, "a model of stars since"
    write(store, [Deleted(make_record(None, offset=4), "r1")])
    assert store_world.summary("app") == {}


def test_summary_follows_a_review_that_moves_to_another_app(store_world: StoreWorld) -> None:
    store = store_world.store()
    write(store, [Write(5, 1, app="old").outcome()])
    write(store, [Write(4, 2, app="new").outcome()])
    assert (store_world.summary("old"), store_world.summary("new")) == ({}, {"count": 1, "sum": 4, "count:4": 1})
    write(store, [Write(4, 3, app=None).outcome()])
    assert store_world.summary("new") == {}


def test_a_large_batch_is_stored_whole(store_world: StoreWorld) -> None:
    writes = [Write(1 + offset % 5, offset, review_id=f"r{offset}", app=f"app{offset % 7}") for offset in range(2000)]
    write(store_world.store(), [one.outcome() for one in writes])
    assert store_world.results()["written"] == 2000
    assert sum(store_world.summary(f"app{number}")["count"] for number in range(7)) == 2000
    assert stars(store_world, "r1999") == 5


def test_ping_returns_when_the_store_answers(store_world: StoreWorld) -> None:
    store_world.store().ping()


def test_notes_of_attempts_outlive_the_ledger_object(store_world: StoreWorld) -> None:
    here, there = Partition("re-views.x", 0), Partition("re-views.x", 11)
    note = Attempt(first=5, last=900, runs=3, run_id="abc")
    store_world.ledger().save_attempts({here: note, there: Attempt(0, 0, 1, "z")})
    store_world.ledger().save_attempts({there: Attempt(1, 1, 2, "z")})
    found = store_world.ledger().load_attempts([here, there, Partition("re-views.x", 1)])
    assert found == {here: note, there: Attempt(1, 1, 2, "z")}


writes = st.builds(
    Write,
    star=st.sampled_from([None, 1, 3, 5]),
    offset=st.integers(0, 4),
    partition=st.integers(0, 1),
    at=st.integers(1, 3),
    app=st.sampled_from(["app", "other", None]),
    review_id=st.sampled_from(["r1", "r2"]),
)


@given(st.lists(st.lists(writes, max_size=4), max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_redis_agree_on_every_history(redis_server: LocalRedis, batches: list[list[Write]]) -> None:
    memory, real = MemoryStoreWorld(), RedisStoreWorld(redis_server)
    stores = (memory.store(), real.store())
    for batch in batches:
        for store in stores:
            write(store, [one.outcome() for one in batch])
    assert real.results() == memory.results()
    for review_id in ("r1", "r2"):
        assert real.rating(review_id) == memory.rating(review_id)
    for app in ("app", "other"):
        assert real.summary(app) == memory.summary(app)
    real.close()
