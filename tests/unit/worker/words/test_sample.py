"""The period, the groups, and the bounded sample of an app's reviews."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.output.review_time import review_time_s
from schemas.rating import Rating
from tests.doubles import make_rated, make_record
from worker.errors import SettingsError
from worker.words.period import Period, groups_of, parse_since
from worker.words.sample import Sample

NOW_S = 1_767_225_600.0  # 2026-01-01T00:00Z, a Thursday
DAY_S = 86_400


def rating(review_id: str, at_s: float = NOW_S - DAY_S, **fields: object) -> Rating:
    rated = make_rated(review_id, record=make_record(timestamp=round(at_s * 1000)))
    return replace(rated.rating, app_id="app", **fields)  # type: ignore[arg-type]


def test_a_span_is_read_and_anything_else_is_refused() -> None:
    assert parse_since("7d", NOW_S).length_s == 7 * DAY_S
    assert parse_since("12h", NOW_S).length_s == 12 * 3600
    assert parse_since("2w", NOW_S).length_s == 14 * DAY_S
    for wrong in ("", "7", "d", "0d", "-1d", "7 days", "2026-01-01"):
        with pytest.raises(SettingsError, match="--since"):
            parse_since(wrong, NOW_S)


def test_the_period_and_the_time_before_are_as_long_and_do_not_overlap() -> None:
    period = Period(NOW_S, 7 * DAY_S)
    assert [period.is_recent(NOW_S - days * DAY_S) for days in (-1, 0, 6.9, 7, 13.9, 14)] == [
        None, True, True, False, False, None,
    ]  # fmt: skip


def test_the_time_is_the_reviews_own_else_its_records() -> None:
    assert review_time_s(rating("a", created_at="2026-01-01T02:00:00+02:00")) == NOW_S
    assert review_time_s(rating("a", created_at="2026-01-01")) == NOW_S
    assert review_time_s(rating("a", NOW_S, created_at="yesterday")) == NOW_S


def test_groups_are_stars_versions_and_weeks_that_begin_on_monday() -> None:
    found = rating("a", app_version="2.1")
    assert groups_of(found, "star", NOW_S) == (str(found.rating),)
    assert groups_of(found, "version", NOW_S) == ("2.1",)
    assert groups_of(rating("a"), "version", NOW_S) == ("unknown",)
    days = [groups_of(found, "week", NOW_S + day * DAY_S) for day in (-4, -3, 3, 4)]
    assert days == [("2025-12-22",), ("2025-12-29",), ("2025-12-29",), ("2026-01-05",)]


def test_the_latest_rating_of_a_review_counts_and_a_deleted_one_does_not() -> None:
    sample = Sample("app", Period(NOW_S, 7 * DAY_S), "star", 100)
    sample.add(rating("a"))
    sample.add(replace(rating("a"), rating=1))
    sample.add(rating("b"))
    sample.remove("b")
    sample.add(replace(rating("c"), app_id="other"))
    sample.add(rating("d", NOW_S - 20 * DAY_S))
    assert {name: kept.stars for name, kept in sample.kept.items()} == {"a": 1}


def test_a_review_that_was_moved_out_of_the_period_is_forgotten() -> None:
    sample = Sample("app", Period(NOW_S, 7 * DAY_S), "star", 100)
    sample.add(rating("a"))
    sample.add(rating("a", created_at="2020-01-01"))
    assert sample.kept == {}


def test_too_many_reviews_become_an_even_sample() -> None:
    sample = Sample("app", Period(NOW_S, 7 * DAY_S), "star", 500)
    for number in range(8000):
        sample.add(rating(f"r-{number}"))
    assert sample.one_in in {16, 32}
    assert 200 < len(sample.kept) <= 500
    assert len(sample.kept) * sample.one_in == pytest.approx(8000, rel=0.25)
