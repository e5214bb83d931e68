"""The dead-letter breaker: opens at too large a share or too many consecutive rejections, never for a few records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import make_rated, make_record
from worker.records import Outcome
from worker.stream.breaker import Breaker
from worker.stream.rejection import rejected

GOOD: Outcome = make_rated()
BAD: Outcome = rejected(make_record(b"\xff"), "not_utf8", "x", model_version="v1")


def test_breaker_opens_above_its_share_and_not_at_it() -> None:
    breaker = Breaker(share=0.5, window_records=1000, consecutive=0)
    assert breaker.opens([GOOD, BAD] * 100) is None
    assert "101 of the last 201 records" in str(breaker.opens([BAD]))


def test_breaker_ignores_the_share_of_fewer_than_100_records() -> None:
    breaker = Breaker(share=0.5, window_records=1000, consecutive=0)
    assert breaker.opens([BAD] * 99) is None
    assert breaker.opens([BAD]) is not None


def test_old_records_leave_the_window() -> None:
    breaker = Breaker(share=0.5, window_records=100, consecutive=0)
    assert breaker.opens([BAD] * 49 + [GOOD] * 51) is None
    assert breaker.opens([GOOD] * 100) is None
    assert breaker.opens([BAD] * 50) is None


def test_breaker_opens_after_consecutive_rejections_whatever_the_share() -> None:
    breaker = Breaker(share=1.0, window_records=100_000, consecutive=5)
    assert breaker.opens([GOOD] * 1000 + [BAD] * 4) is None
    assert "5 records in a row" in str(breaker.opens([BAD]))


def test_a_rated_record_resets_the_consecutive_count() -> None:
    breaker = Breaker(share=1.0, window_records=10, consecutive=5)
    assert breaker.opens(([BAD] * 4 + [GOOD]) * 10) is None


def test_consecutive_rejections_in_the_middle_of_a_batch_count() -> None:
    breaker = Breaker(share=1.0, window_records=10, consecutive=5)
    assert breaker.opens([GOOD, *[BAD] * 5, GOOD]) is not None


@given(st.lists(st.lists(st.booleans(), max_size=50), max_size=20))
def test_a_breaker_that_is_turned_off_never_opens(batches: list[list[bool]]) -> None:
    breaker = Breaker(share=1.0, window_records=100, consecutive=0)
    assert all(breaker.opens([GOOD if good else BAD for good in batch]) is None for batch in batches)
