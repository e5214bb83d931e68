"""The trend in Redis: right after every history of ratings, re-ratings, deletions and repeats, by a plain recount."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.redis import LocalRedis
from schemas.rating import Rating
from tests.contract.worlds import MemoryStoreWorld, RedisStoreWorld
from tests.doubles import make_rated, make_record, write
from worker.clock import SystemClock
from worker.records import Deleted, Outcome, Rated
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import HOUR_S, Cell, trend_key

NOW_S = (
    int(SystemClock().wall()) // HOUR_S * HOUR_S - 24 * HOUR_S
)  # a day ago, so that the hour of the test is no matter
HOUR = NOW_S // HOUR_S
DAY_S = 24 * HOUR_S


@dataclass(frozen=True)
class Said:
    """A record of a review; `hours_ago` is its own time's age in hours, None where it says none."""

    star: int | None
    offset: int
    partition: int = 0
    review_id: str = "r1"
    app: str | None = "app"
    version: str | None = None
    hours_ago: int | None = None

    def outcome(self) -> Outcome:
        record = make_record(partition=self.partition, offset=self.offset, timestamp=NOW_S * 1000 + self.offset)
        if self.star is None:
            return Deleted(record, self.review_id)
        rated = make_rated(self.review_id, self.star, app_id=self.app, record=record)
        written = None if self.hours_ago is None else datetime.fromtimestamp(NOW_S - self.hours_ago * HOUR_S, UTC)
        created_at = None if written is None else written.isoformat()
        return Rated(record, replace(rated.rating, app_version=self.version, created_at=created_at))

    @property
    def hour(self) -> int:
        return HOUR - (self.hours_ago or 0)


def said_of(*apps: str) -> st.SearchStrategy[Said]:
    """Return records of these apps and of none, in every order, age and version."""
    return st.builds(
        Said,
        star=st.sampled_from([None, 1, 3, 5]),
        offset=st.integers(0, 6),
        partition=st.integers(0, 1),
        review_id=st.sampled_from(["r1", "r2", "r3"]),
        app=st.sampled_from([*apps, None]),
        version=st.sampled_from([None, "1.0", "a:b"]),
        hours_ago=st.sampled_from([None, 0, 1, 30, 24 * 89, 24 * 95, -24 * 300]),
    )


def counted(world: RedisStoreWorld, app: str = "app") -> tuple[dict[Cell, int], dict[int | str, int]]:
    """Return the cells and what is outside, as a reader of 100 days sees them."""
    found = world.reader.trend(app, range(HOUR - 100 * 24, HOUR + 100 * 24))
    assert all(count >= 0 for count in [*found.cells.values(), *found.outside.values()])
    return dict(+found.cells), dict(+found.outside)


@pytest.fixture
def world(redis_server: LocalRedis) -> Any:
    made = RedisStoreWorld(redis_server, 2)
    yield made
    made.close()


def test_a_trend_counts_by_hour_version_and_stars(world: RedisStoreWorld) -> None:
    said = [
        Said(5, 1, version="2.0"),
        Said(1, 2, review_id="r2"),
        Said(5, 3, review_id="r3", version="2.0", hours_ago=30),
    ]
    write(world.store(), [one.outcome() for one in said])
    assert counted(world) == (
        {Cell(HOUR, "2.0", 5): 1, Cell(HOUR, "", 1): 1, Cell(HOUR - 30, "2.0", 5): 1}, {},
    )  # fmt: skip


def test_a_day_lives_for_its_time(world: RedisStoreWorld) -> None:
    write(world.store(), [Said(5, 1, hours_ago=48).outcome()])
    day = (HOUR - 48) // 24
    ttl_s: Any = world.client.ttl(trend_key("app", day, prefix=world.prefix))
    end_s = (day + 1) * DAY_S + 90 * DAY_S
    assert end_s - SystemClock().wall() == pytest.approx(ttl_s, abs=30)


def test_hours_outside_the_life_are_counted_apart_and_leave_again(world: RedisStoreWorld) -> None:
    store = world.store()
    old = Said(2, 1, hours_ago=91 * 24)
    write(store, [old.outcome(), Said(4, 2, review_id="r2", hours_ago=-24 * 400).outcome()])
    assert counted(world) == ({}, {2: 1, 4: 1})
    write(store, [replace(old, offset=3, star=5).outcome(), Said(None, 4, review_id="r2").outcome()])
    assert counted(world) == ({}, {5: 1})
    assert world.client.ttl(trend_key("app", None, prefix=world.prefix)) == -1


def test_a_rating_whose_hour_has_expired_meanwhile_is_not_subtracted(world: RedisStoreWorld) -> None:
    """Nor does it bring the hour back: its review is counted apart from then on."""
    write(world.store(), [Said(5, 1, hours_ago=72).outcome()])
    later = world.store(trend_ttl_s=DAY_S)
    write(later, [Said(1, 2, hours_ago=72).outcome()])
    cells, outside = counted(world)
    assert (cells, outside) == ({Cell(HOUR - 72, "", 5): 1}, {1: 1}), "the key expires by itself"


def test_a_trend_that_was_evicted_does_not_go_below_zero(world: RedisStoreWorld) -> None:
    store = world.store()
    write(store, [Said(5, 1).outcome(), Said(5, 2, review_id="r2").outcome()])
    world.client.delete(trend_key("app", HOUR // 24, prefix=world.prefix))
    write(store, [Said(None, 3).outcome()])
    write(store, [Said(1, 4, review_id="r2").outcome()])
    assert counted(world) == ({Cell(HOUR, "", 1): 1}, {})


def test_a_review_that_is_rated_again_after_its_rating_expired_counts_as_a_new_one(world: RedisStoreWorld) -> None:
    """In the trend as in the summary: nothing is left that says what it counted as."""
    store = world.store()
    write(store, [Said(5, 1).outcome()])
    world.client.delete(f"{world.prefix}rating:{{r1}}")
    write(store, [Said(1, 2).outcome()])
    assert counted(world)[0] == {Cell(HOUR, "", 5): 1, Cell(HOUR, "", 1): 1}
    assert world.summary("app")["count"] == 2


@pytest.mark.parametrize("off", [{"redis_form": 1}, {"redis_summary": False}, {"trend_ttl_s": 0}])
def test_without_trends_nothing_is_counted_and_what_was_is_subtracted(
    off: dict[str, Any], world: RedisStoreWorld
) -> None:
    write(world.store(), [Said(5, 1).outcome()])
    write(world.store(**off), [Said(4, 2).outcome(), Said(4, 3, review_id="r2").outcome()])
    assert counted(world)[0] == ({Cell(HOUR, "", 5): 1} if off == {"trend_ttl_s": 0} else {}), "a day of 0 s is over"


def test_a_key_of_another_program_does_not_stop_the_other_trends(world: RedisStoreWorld) -> None:
    world.client.hset(
        trend_key("app", HOUR // 24, prefix=world.prefix),
        mapping={"x": "y", "00:1.0:many": 1, "00:1.0:5": "z", "1.0:5": 1},
    )
    write(world.store(), [Said(5, 1).outcome()])
    assert counted(world)[0] == {Cell(HOUR, "", 5): 1}


@given(st.lists(st.lists(said_of("app", "other"), max_size=6), max_size=6))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_history_ends_with_a_recount_of_the_ratings_that_are_stored(
    redis_server: LocalRedis, batches: list[list[Said]]
) -> None:
    memory, world = MemoryStoreWorld(), RedisStoreWorld(redis_server, 2)
    for batch in batches:
        for store in (memory.store(), world.store()):
            write(store, [said.outcome() for said in batch])
    ratings = [rating for name in ("r1", "r2", "r3") if (rating := memory.rating(name)) is not None]
    for app in ("app", "other"):
        assert counted(world, app) == recount(rating for rating in ratings if rating.app_id == app)
    world.close()


def recount(ratings: Any) -> tuple[dict[Cell, int], dict[int | str, int]]:
    cells: Counter[Cell] = Counter()
    outside: Counter[int | str] = Counter()
    rating: Rating
    for rating in ratings:
        assert rating.rating is not None
        written_s = datetime.fromisoformat(rating.created_at).timestamp() if rating.created_at else NOW_S
        if NOW_S - 90 * DAY_S < written_s < NOW_S + DAY_S:
            cells[Cell(int(written_s // HOUR_S), rating.app_version or "", rating.rating)] += 1
        else:
            outside[rating.rating] += 1
    return dict(cells), dict(outside)


def labelled(review_id: str, offset: int, labels: dict[str, float] | None, *, hours_ago: int = 1) -> Any:
    """Return a rating of a label model, or of a star model where there are no labels."""
    rated = make_rated(review_id, 4, app_id="app", record=make_record(offset=offset))
    created = datetime.fromtimestamp(NOW_S - hours_ago * HOUR_S, UTC).isoformat()
    change: dict[str, Any] = {"created_at": created, "app_version": "1.2"}
    if labels is not None:
        change |= {"rating": None, "expected_rating": None, "labels": labels}
    return Rated(rated.record, replace(rated.rating, **change))


def test_labels_are_counted_by_label_and_right_when_they_change(world: RedisStoreWorld) -> None:
    """A review counts once, and as each of its labels; rated again or deleted, what it counted as is taken back."""
    store = world.store()
    for rated in (
        labelled("a", 1, {"joy": 0.9, "über": 0.6}),
        labelled("b", 2, {"joy": 0.8}),
        labelled("c", 3, {}),
        labelled("d", 4, {"anger": 0.7}),
        labelled("e", 5, None),
    ):
        store.send([rated])
    store.flush()
    reader = RatingsInRedis(world.settings())
    read = reader.rating("a")
    assert read is not None
    assert (read.rating, read.expected_rating, read.labels) == (None, None, {"joy": 0.9, "über": 0.6})
    found = reader.summary("app")
    assert found is not None
    assert (found.count, found.labelled, found.stars) == (5, 4, {4: 1})
    assert found.labels == {"joy": 2, "über": 1, "anger": 1}
    assert found.mean == 4, "of the review that has stars"
    again = [labelled("a", 6, {"anger": 0.9}), labelled("d", 7, None), labelled("e", 8, {"joy": 0.7})]
    store.send([*again, Deleted(make_record(None, key=b"b", offset=9), "b")])
    store.flush()
    found = reader.summary("app")
    assert found is not None
    assert (found.count, found.labelled, found.stars, found.labels) == (4, 3, {4: 1}, {"anger": 1, "joy": 1})
    (row,) = reader.trend("app", range(HOUR - 24, HOUR + 1)).rows("hour")
    assert row.counts == found
    assert row.to_fields()["labels"] == {"anger": 1, "joy": 1}
    assert world.summary("app")["count"] == 4
