"""What only a real Redis can show: flushed scripts, keys of wrong types, refusals, outages, round trips, a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from deploy.process import wait_until
from deploy.redis import LocalRedis
from schemas.output.rating_hash import rating_from_hash
from schemas.rating import rating_key, summary_key
from tests import PATIENCE_S
from tests.conftest import serving
from tests.contract.worlds import RedisStoreWorld
from tests.doubles import make_rated, make_record, write
from tests.fixtures.clustered import clustered_redis, serve_all_slots
from worker.errors import PermanentError, TransientError
from worker.records import Deleted, Outcome, Partition, Rated
from worker.redis.ratings import RatingsInRedis
from worker.stream.ports import Attempt


def ratings(count: int) -> list[Outcome]:
    return [make_rated(f"r{offset}", app_id="app", record=make_record(offset=offset)) for offset in range(count)]


def answered(call: Callable[[], object]) -> bool:
    try:
        call()
    except TransientError:
        return False
    return True


@pytest.fixture
def own_world(own_redis: LocalRedis) -> Iterator[RedisStoreWorld]:
    world = RedisStoreWorld(own_redis)
    yield world
    world.close()


def test_a_batch_takes_one_call_per_256_reviews(redis_world: RedisStoreWorld) -> None:
    def calls() -> int:
        stats: Any = redis_world.client.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))

    store = redis_world.store()
    write(store, ratings(1))
    before = calls()
    write(store, ratings(1000))
    assert calls() - before == 4


def test_what_is_not_known_of_a_review_is_not_in_its_hash(redis_world: RedisStoreWorld) -> None:
    known: dict[str, Any] = {"created_at": "2026-01-01", "app_version": "1.2", "author_score": 4.5}
    given: list[dict[str, Any]] = [{}, known, {"author_score": 0}, {}]
    for offset, fields in enumerate(given):
        bare = make_rated("r1", record=make_record(offset=offset))
        rated = Rated(bare.record, replace(bare.rating, **fields))
        write(redis_world.store(), [rated])
        stored: Any = redis_world.client.hgetall(rating_key("r1", prefix=redis_world.prefix))
        texts: dict[str, str] = dict(stored)
        assert {name: texts[name] for name in known if name in texts} == {name: f"{fields[name]}" for name in fields}
        assert rating_from_hash(texts, "r1") == rated.rating


def test_a_deletion_is_remembered_for_a_day(redis_world: RedisStoreWorld) -> None:
    write(redis_world.store(), [Deleted(make_record(None, offset=5), "r1")])
    ttl_s: Any = redis_world.client.ttl(f"{redis_world.prefix}deleted:{{r1}}")
    assert 24 * 3600 - 5 <= ttl_s <= 24 * 3600


@pytest.mark.parametrize("note", [b"", b"nonsense", b"1:2", b"1:2:3:\xff", b"1:2:x:run", b"9" * 5000 + b":1:1:a"])
def test_a_note_that_the_worker_did_not_write_is_none(note: bytes, redis_world: RedisStoreWorld) -> None:
    here = Partition("reviews", 0)
    redis_world.client.hset(f"{redis_world.prefix}attempts:{{starstream}}", "reviews-0", note)
    assert redis_world.ledger().load_attempts([here]) == {}
    redis_world.ledger().save_attempts({here: Attempt(1, 2, 3, "")})
    assert redis_world.ledger().load_attempts([here]) == {here: Attempt(1, 2, 3, "")}


def test_a_key_that_the_worker_did_not_write_costs_no_other_rating(redis_world: RedisStoreWorld) -> None:
    write(redis_world.store(), ratings(1))
    client, keys = redis_world.client, {name: rating_key(name, prefix=redis_world.prefix) for name in ("a", "b", "c")}
    client.set(keys["a"], "no hash")
    client.hset(keys["b"], mapping={"model_version": b"\xff", "rating": "5"})
    client.hset(keys["c"], mapping={"model_version": "v", "rating": "\u00b2"})
    found = RatingsInRedis(redis_world.settings()).find(["r0", *keys])
    assert found == {"r0": ("stub-1", 5), "b": ("\ufffd", 5)}


def test_keys_start_with_the_prefix(redis_world: RedisStoreWorld) -> None:
    write(redis_world.store(), ratings(2))
    keys: Any = redis_world.client.keys("*{r0}*")
    assert {key for key in keys if key.startswith(redis_world.prefix)} == {f"{redis_world.prefix}rating:{{r0}}"}


def test_without_summaries_nothing_is_counted(redis_world: RedisStoreWorld) -> None:
    write(redis_world.store(redis_summary=False), ratings(2))
    assert redis_world.summary("app") == {}
    assert redis_world.rating("r1") is not None


NOTE = {Partition("reviews", 0): Attempt(0, 0, 1, "x")}
FOREIGN = ("a rating", "a marker", "a summary", "a summary's count")


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_key_of_another_program_stops_no_record(kind: str, redis_world: RedisStoreWorld) -> None:
    """Each other rating is written and counted; the key stays as it is, and is logged once."""
    store, client, prefix = redis_world.store(), redis_world.client, redis_world.prefix
    key = {
        "a rating": rating_key("r1", prefix=prefix),
        "a marker": f"{prefix}deleted:{{r1}}",
    }.get(kind, summary_key("app", prefix=prefix))
    if kind == "a summary's count":
        client.hset(key, "count", "many")
    else:
        client.set(key, "mine")
    for _ in range(2):
        write(store, [*ratings(3), make_rated("z", 4, app_id="other", record=make_record(offset=9))])
    assert [event.fields["key"] for event in redis_world.log.events if event.event == "redis_key_refused"] == [key]
    stored = [redis_world.rating(f"r{at}") is not None for at in (0, 2)]
    assert (stored, redis_world.summary("other")["count"]) == ([True, True], 1)
    found = RatingsInRedis(redis_world.settings())
    if kind == "a rating":
        assert redis_world.results()["refused"] == 2
        assert found.rating("r1") is None
        assert redis_world.summary("app")["count"] == 2
    else:
        assert redis_world.results()["refused"] == 0
        assert found.rating("r1") is not None
    assert client.hget(key, "count") == "many" if kind == "a summary's count" else client.get(key) == "mine"
    if kind == "a summary":
        assert found.summary("app") is None
    write(store, [Deleted(make_record(None, key=b"r1", offset=20), "r1")])
    if kind == "a rating":
        client.delete(key)
        write(store, ratings(3))
        assert redis_world.summary("app")["count"] == 3
    else:
        assert found.rating("r1") is None


@pytest.mark.parametrize("key", ["deleted:{}0", "attempts:{starstream}"])
def test_a_key_of_the_worker_that_another_program_has_is_named(key: str, redis_world: RedisStoreWorld) -> None:
    """Without the probe and the notes it cannot go on; an operator must find the key."""
    redis_world.client.set(f"{redis_world.prefix}{key}", "mine")
    call = redis_world.store().ping if key.startswith("deleted") else partial(redis_world.ledger().save_attempts, NOTE)
    with pytest.raises(PermanentError, match=re.escape(f"{redis_world.prefix}{key}: ResponseError: WRONGTYPE")):
        call()


def test_label_zero_is_added_to_the_summary_and_subtracted_again(redis_world: RedisStoreWorld) -> None:
    """With the labels 0 and 1: a sum of zero is a number, too."""
    store = redis_world.store()
    write(store, [make_rated("r1", 0, app_id="app", record=make_record(offset=1))])
    assert redis_world.summary("app") == {"count": 1, "count:0": 1}
    write(store, [make_rated("r1", 1, app_id="app", record=make_record(offset=2))])
    assert redis_world.summary("app") == {"count": 1, "sum": 1, "count:1": 1}


def test_an_outage_is_transient_and_the_store_recovers(own_redis: LocalRedis, own_world: RedisStoreWorld) -> None:
    store, ledger = own_world.store(), own_world.ledger()
    write(store, ratings(2))
    own_redis.stop()
    note = {Partition("reviews", 0): Attempt(0, 0, 1, "x")}
    calls: list[Callable[[], object]] = [
        lambda: write(store, ratings(4)),
        lambda: ledger.load_attempts(list(note)),
        lambda: ledger.save_attempts(note),
        store.ping,
    ]
    for call in calls:
        with pytest.raises(TransientError, match="redis: "):
            call()
    own_redis.start()
    store.ping()
    write(store, ratings(4))
    assert own_world.rating("r3") is not None
    assert own_world.results()["written"] == 4


def test_a_failed_send_fails_its_batch_but_not_the_next(own_redis: LocalRedis, own_world: RedisStoreWorld) -> None:
    store = own_world.store()
    write(store, ratings(2))
    own_redis.stop()
    batch = ratings(600)
    store.send(batch[:300])
    store.send(batch[300:])
    with pytest.raises(TransientError, match="redis: "):
        store.flush()
    own_redis.start()
    write(store, batch)
    assert own_world.results() == {"written": 600, "replayed": 2, "stale": 0, "deleted": 0, "refused": 0}


def test_sent_ratings_are_stored_before_flush(redis_world: RedisStoreWorld) -> None:
    store, batch = redis_world.store(), ratings(600)
    store.send(batch[:300])
    store.send(batch[300:])
    wait_until(lambda: redis_world.rating("r599") is not None, PATIENCE_S, "the last rating sent")
    assert store.flush()["written"] == 600
    assert store.flush() == {}, "everything was flushed"
    assert redis_world.summary("app")["count"] == 600


def test_replies_to_an_abandoned_batch_are_not_taken_for_the_next_batch(redis_world: RedisStoreWorld) -> None:
    store, batch = redis_world.store(), ratings(40)
    store.send(batch[:20])
    store.abandon()
    assert store.flush() == {}
    assert write(store, batch[20:]) == {"written": 20, "deleted": 0, "stale": 0, "replayed": 0, "refused": 0}
    counts = write(store, batch[:20])
    assert counts["written"] + counts["replayed"] == 20
    assert redis_world.summary("app")["count"] == 40


def test_a_batch_sent_to_a_redis_without_the_script_is_sent_again(own_world: RedisStoreWorld) -> None:
    store = own_world.store()
    for sends in (0, 2, 3):
        own_world.client.script_flush()
        batch = ratings(600)
        for number in range(sends):
            store.send(batch[number * 200 : (number + 1) * 200])
        store.send(batch[sends * 200 :])
        store.flush()
    assert own_world.results() == {"written": 600, "replayed": 1200, "stale": 0, "deleted": 0, "refused": 0}


def test_a_full_redis_is_a_transient_error(own_world: RedisStoreWorld) -> None:
    store = own_world.store()
    write(store, ratings(1))
    own_world.client.config_set("maxmemory", "1mb")
    with pytest.raises(TransientError, match="OutOfMemory"):
        write(store, ratings(600))
    own_world.client.config_set("maxmemory", "0")
    write(store, ratings(600))
    assert sum(own_world.results().values()) == 601


@pytest.mark.parametrize("before", [0, 1], ids=["the script is not loaded", "the script is loaded"])
def test_a_write_to_a_hanging_redis_fails_within_the_timeout(
    before: int, own_redis: LocalRedis, own_world: RedisStoreWorld
) -> None:
    store = own_world.store(redis_timeout_s=0.2)
    store.ping()
    write(store, ratings(before))
    batch = ratings(20_000)  # more than the socket buffers hold
    own_redis.suspend()
    try:
        for count in (2, 20_000, 2):
            with pytest.raises(TransientError, match="Timeout"):
                write(store, batch[:count])
    finally:
        own_redis.resume()
    wait_until(lambda: answered(lambda: write(store, batch[:2])), PATIENCE_S, "Redis after its pause")
    assert own_world.rating("r1") is not None


def test_a_restart_of_redis_before_or_between_two_sends_is_not_an_error(
    own_redis: LocalRedis, own_world: RedisStoreWorld
) -> None:
    store, batch = own_world.store(), ratings(600)
    write(store, batch[:1])
    for part in (batch[:300], batch[300:]):
        own_redis.restart()
        store.send(part)
    store.flush()
    assert own_world.rating("r0") is not None
    assert own_world.rating("r599") is not None
    assert sum(own_world.results().values()) == 601


def test_a_wrong_password_is_a_permanent_error_that_does_not_show_it(
    own_redis: LocalRedis, own_world: RedisStoreWorld
) -> None:
    own_world.client.config_set("requirepass", "right")
    for password in ("wrong", ""):
        store = own_world.store(redis_url=f"redis://:{password}@127.0.0.1:{own_redis.port}/0")
        with pytest.raises(PermanentError) as caught:
            store.ping()
        assert "wrong" not in str(caught.value).replace("wrong number", "").replace("WRONGPASS", "")
    own_world.client.config_set("requirepass", "")


def test_a_forbidden_command_is_a_permanent_error(own_redis: LocalRedis, own_world: RedisStoreWorld) -> None:
    own_world.client.acl_setuser(
        "reader", enabled=True, passwords=["+x"], keys="*", commands=["+ping", "+client|setname"]
    )
    store = own_world.store(redis_url=f"redis://reader:x@127.0.0.1:{own_redis.port}/0")
    for call in (store.ping, lambda: write(store, ratings(1))):
        with pytest.raises(PermanentError, match="NoPermission"):
            call()


CLUSTER = {"redis_cluster": True}


@pytest.fixture
def cluster_world() -> Iterator[RedisStoreWorld]:
    """A cluster of one node that serves every slot."""
    with serving(clustered_redis()) as server:
        world = RedisStoreWorld(server)
        serve_all_slots(world.client)
        yield world
        world.close()


def test_a_cluster_stores_each_review_in_its_slot(cluster_world: RedisStoreWorld) -> None:
    store = cluster_world.store(**CLUSTER)
    store.ping()
    odd = ["{", "{}", "a}b{c", "ü 🙂"]  # braces inside the braces of the hash tag
    reviews = [make_rated(name, record=make_record(offset=number)) for number, name in enumerate(odd)]
    write(store, [*reviews, *ratings(50)])
    write(store, [Deleted(make_record(None, offset=99), "r7")])
    for review in reviews:
        assert cluster_world.rating(review.rating.review_id) == review.rating
    assert cluster_world.rating("r7") is None
    assert cluster_world.rating("r8") is not None
    assert cluster_world.summary("app")["count"] == 49


def test_a_cluster_stores_an_id_that_begins_with_a_closing_brace(cluster_world: RedisStoreWorld) -> None:
    """`rating:{}x}` has an empty hash tag, so its deletion marker has the same key."""
    store, client = cluster_world.store(ttl_s=30 * 24 * 3600, **CLUSTER), cluster_world.client
    key = rating_key("}x", prefix=cluster_world.prefix)
    rated = make_rated("}x", record=make_record(offset=1))
    write(store, [rated])
    assert cluster_world.rating("}x") == rated.rating
    write(store, [Deleted(make_record(None, offset=2), "}x")])
    assert client.hget(key, "rating") is None
    write(store, [rated])
    assert client.hget(key, "rating") is None, "an older position does not overwrite the deletion"
    write(store, [make_rated("}x", record=make_record(offset=3))])
    assert client.hget(key, "source_offset") == "3"
    assert client.ttl(key) > 24 * 3600


def test_an_unreachable_cluster_is_a_transient_error() -> None:
    with clustered_redis() as server:
        server.stop()
        with pytest.raises(TransientError, match="redis: WORKER_REDIS_URL: "):
            RedisStoreWorld(server).store(**CLUSTER)


def test_a_summary_that_another_program_wrote_to_is_read_as_far_as_it_is_ours(redis_world: RedisStoreWorld) -> None:
    stars: Any = {
        "count:1": 2,
        "count:2": "many",
        "count:3": "9" * 5000,
        "count:" + "9" * 5000: 1,
        "mean": "x",
    }
    redis_world.client.hset(f"{redis_world.prefix}summary:{{shop}}", mapping=stars)
    summary = RatingsInRedis(redis_world.settings()).summary("shop")
    assert summary is not None
    assert (summary.count, summary.stars) == (2, {1: 2})


def test_the_remarks_on_a_rating_are_in_its_hash_as_they_are(redis_world: RedisStoreWorld) -> None:
    given: list[dict[str, Any]] = [{"mismatch": True, "reasons": ["bad", "!!"]}, {"mismatch": False}, {}]
    for offset, remarks in enumerate(given):
        bare = make_rated("r1", record=make_record(offset=offset))
        rated = Rated(bare.record, replace(bare.rating, **remarks))
        write(redis_world.store(), [rated])
        stored: Any = redis_world.client.hgetall(rating_key("r1", prefix=redis_world.prefix))
        assert rating_from_hash(dict(stored), "r1") == rated.rating
        assert stored.get("reasons") == ("bad,!!" if offset == 0 else None)
