"""When a review was written, by its own time or its record's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.output.review_time import review_time_s
from tests.unit.schemas.test_rating import RATING

RECORD_S = 1767270896.0


@pytest.mark.parametrize(
    ("created_at", "seconds"),
    [
        (None, RECORD_S),
        ("2026-01-01", 1767225600),
        ("2026-01-01T02:00:00", 1767232800),
        ("2026-01-01T02:00:00+02:00", 1767225600),
        ("2026-01-01T00:00:00.500Z", 1767225600.5),
        ("1767225600", 1767225600),
        ("1767225600123", 1767225600.123),
        ("5 May", RECORD_S),
        ("99999999999999999999", RECORD_S),
        ("99999999999", 99999999999),
    ],
)
def test_a_reviews_own_time_comes_before_its_records(created_at: str | None, seconds: float) -> None:
    assert review_time_s(replace(RATING, created_at=created_at)) == seconds


@pytest.mark.parametrize("stamp", [None, -1])
def test_without_either_it_is_unknown(stamp: int | None) -> None:
    assert review_time_s(replace(RATING, source=replace(RATING.source, timestamp_ms=stamp))) is None
