"""The arguments of a call of `write.lua`: what a review is counted in does not depend on its neighbours."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import ManualClock, make_rated, make_record
from worker.records import Rated
from worker.redis.call import Calls
from worker.settings import WorkerSettings

DAY_MS = 24 * 3_600_000
NOW_MS = 1_767_270_896_000


CALLS = Calls(
    WorkerSettings(_env_file=None, redis_form=2),
    ManualClock(wall_s=NOW_MS / 1000),
    topic_id=lambda _topic: "ApbmQyETQ5q2JqmLzDfDBw",
)


@st.composite
def rated(draw: st.DrawFn) -> Rated:
    stamp = draw(st.sampled_from([NOW_MS, NOW_MS - DAY_MS, NOW_MS - 1000 * DAY_MS, -1]))
    record = make_record(partition=draw(st.integers(0, 1)), offset=draw(st.integers(0, 9)), timestamp=stamp)
    found = make_rated("r1", draw(st.integers(1, 5)), app_id=draw(st.sampled_from([None, "a", "b"])), record=record)
    own = draw(st.sampled_from([None, "2025-12-31T00:00:00Z", "no time"]))
    return Rated(record, replace(found.rating, created_at=own))


@given(rows=st.lists(rated(), min_size=1, max_size=8))
def test_a_review_is_counted_in_the_same_place_alone_and_among_others(rows: list[Rated]) -> None:
    def places(of: list[Rated]) -> list[str]:
        return [text for text in CALLS.make(of, 0) if isinstance(text, str) and ":ApbmQyET:" in text]

    assert places(rows) == [place for row in rows for place in places([row])]


def test_the_hour_is_of_the_record_where_the_review_has_no_time() -> None:
    record = make_record(partition=3, offset=7, timestamp=NOW_MS - DAY_MS)
    place = f"{record.topic}:ApbmQyET:3:7:{NOW_MS - DAY_MS}:+{(NOW_MS - DAY_MS) // 3_600_000}"
    assert place in CALLS.make([make_rated(app_id="app", record=record)], 0)
