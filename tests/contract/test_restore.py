"""What `restore` writes: what the workers published, fenced against what they have written since, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rich.console import Console

from tests.contract.worlds import RedisStoreWorld
from tests.doubles import TIMESTAMP_MS, ManualClock, make_rated, make_record, write
from worker.commands.restore import Restorer, outcome_of
from worker.kafka.outgoing import OutgoingForm
from worker.kafka.ratings_reader import RatingsReader
from worker.ops.signals import StopSignals
from worker.records import Deleted, Outcome, PlainRecord
from worker.settings import WorkerSettings

SETTINGS = WorkerSettings(_env_file=None)
READER = RatingsReader(SETTINGS)
DAY_MS = 24 * 3600 * 1000


def published(outcomes: Sequence[Outcome], at_ms: int = TIMESTAMP_MS) -> list[PlainRecord]:
    """Return the records of the output topic, published at a time."""
    made = [OutgoingForm(SETTINGS).of(outcome) for outcome in outcomes]
    return [
        PlainRecord(record.topic, 0, offset, at_ms, record.key, record.value, record.headers)
        for offset, record in enumerate(made)
    ]


def rated(star: int, partition: int, offset: int, at_s: int, app_id: str = "app") -> Any:
    record = make_record(partition=partition, offset=offset, timestamp=TIMESTAMP_MS + at_s * 1000)
    return make_rated("r1", star, app_id=app_id, record=record)


@pytest.fixture
def restorer(redis_world: RedisStoreWorld) -> Iterator[Restorer]:
    redis_world.topic_ids["reviews"] = "id-of-now"
    settings = redis_world.settings(redis_ttl_s=30 * 24 * 3600)
    made = Restorer(settings, ManualClock(), Console(), StopSignals(1.0))
    yield made
    made.close()


def test_an_outcome_reads_back_from_its_record() -> None:
    record = make_record(partition=3, offset=7, headers=[("traceparent", b"t")])
    outcomes: list[Outcome] = [make_rated("r1", record=record), Deleted(record, "ключ")]
    back = [outcome_of(found, READER) for found in published(outcomes)]
    bare = PlainRecord(record.topic, 3, 7, record.timestamp)
    assert back == [make_rated("r1", record=bare), Deleted(bare, "ключ")]


@pytest.mark.parametrize("record", [make_record("text"), make_record(None), make_record(None, key=b"\xff")])
def test_a_record_of_another_program_is_none(record: PlainRecord) -> None:
    assert outcome_of(record, READER) is None


def test_a_record_of_an_older_build_takes_its_own_time() -> None:
    """It has no source time, and a tombstone no header."""
    rating = make_rated("r1")
    old = rating.value.replace(b',"timestamp_ms":%d' % TIMESTAMP_MS, b"")
    assert old != rating.value
    for value in (old, None):
        outcome = outcome_of(PlainRecord("ratings", 2, 9, 77, b"r1", value), READER)
        assert outcome is not None
        assert outcome.record.timestamp == 77


def test_an_empty_redis_gets_all_that_was_published(redis_world: RedisStoreWorld, restorer: Restorer) -> None:
    outcomes = [rated(5, 0, 1, 0), rated(2, 0, 2, 1), Deleted(make_record(None, offset=3), "r2")]
    for _ in range(2):  # again changes nothing
        restorer.write(published(outcomes))
        found = redis_world.rating("r1")
        assert found is not None
        assert found.rating == 2
        assert redis_world.summary("app") == {"count": 1, "sum": 2, "count:2": 1}
    assert redis_world.client.exists(f"{redis_world.prefix}deleted:{{r2}}")
    assert "1 are not ours" not in restorer.summary


@pytest.mark.parametrize("first", ["the worker", "restore"])
def test_what_a_worker_writes_meanwhile_wins(first: str, redis_world: RedisStoreWorld, restorer: Restorer) -> None:
    """Also from another partition: the topic has got more. Both ratings were late, so only the source's time tells."""
    old, new = rated(1, 0, 1000, 0), rated(5, 4, 3, 1)
    store = redis_world.store()

    def restore() -> None:
        restorer.write(published([old], at_ms=TIMESTAMP_MS + 60_000))

    for turn in (True, False):
        if turn == (first == "restore"):
            restore()
        else:
            write(store, [new])
    found = redis_world.rating("r1")
    assert found is not None
    assert found.rating == 5
    assert redis_world.summary("app") == {"count": 1, "sum": 5, "count:5": 1}


def test_a_deletion_meanwhile_stays(redis_world: RedisStoreWorld, restorer: Restorer) -> None:
    write(redis_world.store(), [Deleted(make_record(None, offset=9, timestamp=TIMESTAMP_MS + 1), "r1")])
    restorer.write(published([rated(5, 0, 8, 0)]))
    assert redis_world.rating("r1") is None


def test_a_rating_lives_for_the_rest_of_its_time(redis_world: RedisStoreWorld, restorer: Restorer) -> None:
    restorer.write(published([make_rated("old")], at_ms=TIMESTAMP_MS - 31 * DAY_MS))
    restorer.write(published([make_rated("r1")], at_ms=TIMESTAMP_MS - 20 * DAY_MS))
    assert redis_world.rating("old") is None
    assert 9.9 < redis_world.expires_in_s("r1") / 86_400 <= 10
    assert "1 have expired" in restorer.summary
