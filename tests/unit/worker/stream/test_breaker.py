"""The dead-letter breaker: opens at too large a share or too many consecutive rejections, never for a few records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import make_rated, make_record
from worker.records import Outcome, Partition
from worker.stream.breaker import Breaker, what_to_do
from worker.stream.rejection import rejected

GOOD: Outcome = make_rated()
BAD: Outcome = rejected(make_record(b"\xff"), "not_utf8", "x", model_version="v1")
HALF: dict[str, Any] = {"share": 0.5, "window_records": 1000, "consecutive": 0}
HALF_OF_100 = HALF | {"window_records": 100}
FIVE: dict[str, Any] = {"share": 1.0, "window_records": 100_000, "consecutive": 5}

# Limits, what was committed before, the next batch, and why it opens the breaker (None: it does not).
CASES: dict[str, tuple[dict[str, Any], list[Outcome], list[Outcome], str | None]] = {
    "at its share": (HALF, [], [GOOD, BAD] * 100, None),
    "above its share": (HALF, [GOOD, BAD] * 100, [BAD], "101 of the last 201 records"),
    "too few records for a share": (HALF, [], [BAD] * 99, None),
    "enough records for a share": (HALF, [BAD] * 99, [BAD], "100 of the last 100 records"),
    "old records have left the window": (HALF_OF_100, [BAD] * 49 + [GOOD] * 151, [BAD] * 50, None),
    "four rejections in a row": (FIVE, [GOOD] * 1000, [BAD] * 4, None),
    "five rejections in a row": (FIVE, [GOOD] * 1000 + [BAD] * 4, [BAD], "5 records in a row"),
    "five in the middle of a batch": (FIVE, [], [GOOD, *[BAD] * 5, GOOD], "5 records in a row"),
    "a batch larger than the window": (HALF_OF_100 | {"consecutive": 5}, [], [BAD] * 150, "): 150 not_utf8 (x)"),
    "a rated record after each four": (FIVE, [], ([BAD] * 4 + [GOOD]) * 10, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_breaker_opens_above_its_limits_and_not_at_them(case: str) -> None:
    limits, before, now, reason = CASES[case]
    breaker = Breaker(**limits)
    assert breaker.opens(before) is None
    opened = breaker.opens(now)
    assert opened is None if reason is None else reason in str(opened)


@given(
    runs=st.lists(st.sampled_from([[GOOD], [BAD], [BAD] * 3, [BAD] * 4]), max_size=12),
    sizes=st.lists(st.integers(1, 4), min_size=48, max_size=48),
)
def test_it_opens_at_the_same_record_whatever_the_batches_are(runs: list[list[Outcome]], sizes: list[int]) -> None:
    outcomes = [outcome for run in runs for outcome in run]
    breaker = Breaker(**FIVE)
    start, opened = 0, False
    for size in sizes:
        opened = opened or breaker.opens(outcomes[start : start + size]) is not None
        start += size
    row = "".join("b" if outcome is BAD else "g" for outcome in outcomes)
    assert opened == ("bbbbb" in row)


def test_a_batch_that_is_undone_is_counted_once() -> None:
    """Otherwise ten dead letters would open it by being retried fifty times while their topic is missing."""
    breaker = Breaker(share=1.0, window_records=1000, consecutive=30)
    for _ in range(50):
        assert breaker.opens([BAD] * 10) is None
        breaker.undo()
    assert [breaker.opens([BAD] * 10) is None for _ in range(3)] == [True, True, False]


def test_breaker_undoes_only_the_last_batch() -> None:
    breaker = Breaker(share=0.5, window_records=100, consecutive=0)
    assert breaker.opens([GOOD] * 60) is None
    assert breaker.opens([BAD] * 45) is None
    breaker.undo()
    assert [breaker.opens([BAD] * 45) is None for _ in range(2)] == [True, False]


def test_the_reason_counts_the_kinds_and_gives_a_message_of_each() -> None:
    other = rejected(make_record(b"{"), "not_json", "value: Invalid JSON at column 1", model_version="v1")
    opened = Breaker(**FIVE).opens([GOOD, BAD, BAD, other, BAD, BAD])
    assert opened == (
        "5 records in a row cannot be rated (WORKER_BREAKER_CONSECUTIVE=5): 4 not_utf8 (x), "
        "1 not_json (value: Invalid JSON at column 1)"
    )


@pytest.mark.parametrize(
    ("limits", "batch", "stops"),
    [
        (HALF, [BAD], True),
        (HALF, [GOOD, BAD], False),
        (FIVE, [BAD, BAD], True),
        (FIVE, [BAD, GOOD], False),
        ({"share": 1.0, "window_records": 100, "consecutive": 0}, [BAD], False),
    ],
)
def test_records_that_stopped_an_earlier_run_stop_the_next_one_at_once(
    limits: dict[str, Any], batch: list[Outcome], stops: bool
) -> None:
    assert (Breaker(**limits).opens(batch, again=True) is not None) == stops


def test_what_to_do_names_the_places_the_command_and_the_settings() -> None:
    positions = {Partition("reviews", number): 10 * number for number in range(7)}
    line = what_to_do("5 of 6", positions, again=True)
    for part in ("5 of 6", "reviews-0@0, reviews-1@10", "2 more partitions", "dlq held", "WORKER_BREAKER_SHARE=1"):
        assert part in line
    assert "a restart alone does not help" in line
    assert "restart alone" not in what_to_do("5 of 6", positions, again=False)


@given(st.lists(st.lists(st.booleans(), max_size=50), max_size=20))
def test_a_breaker_that_is_turned_off_never_opens(batches: list[list[bool]]) -> None:
    breaker = Breaker(share=1.0, window_records=100, consecutive=0)
    assert all(breaker.opens([GOOD if good else BAD for good in batch]) is None for batch in batches)
