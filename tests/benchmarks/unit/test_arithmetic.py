from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.arithmetic import alternated, medians, per_review, quantile, ratios
from tests.benchmarks.catalogue import PROGRAMS, Program
from tests.benchmarks.rows.job import CHECKPOINT
from tests.benchmarks.rows.load import schedule
from tests.benchmarks.throughput import share_of

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_quantile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert quantile([float(value) for value in range(100, 0, -1)], share) == expected


@given(st.lists(FINITE, min_size=1), st.floats(0, 1))
def test_quantile_is_one_of_the_values_and_covers_its_share(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5)])
def test_quantile_of_nothing_or_beyond_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        quantile(values, share)


def test_medians_are_taken_figure_by_figure_over_the_runs_that_have_it() -> None:
    runs = [{"rate": 3.0, "ready": 1.0}, {"rate": 1.0}, {"rate": 2.0, "ready": 2.0}]
    assert medians(runs) == {"rate": 2.0, "ready": 1.5}


def test_ratio_is_how_many_times_a_row_the_worker_does() -> None:
    rows = {"worker": {"reviews_per_s": 6000.0}, "slow": {"reviews_per_s": 300.0}, "failed": {}}
    assert ratios(rows) == {"worker": 1.0, "slow": 20.0}


def test_ratios_need_the_worker() -> None:
    assert ratios({"slow": {"reviews_per_s": 300.0}}) == {}


def test_per_review_is_growth_in_microseconds() -> None:
    assert per_review({"poll": 1.0}, {"poll": 1.5, "parse": 0.1}, 1000) == {"poll": 500.0, "parse": 100.0}


def test_order_of_rows_turns_round_by_turns() -> None:
    assert [alternated(["a", "b"], run) for run in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


@given(st.floats(0.5, 10_000), st.integers(1, 300), st.booleans())
def test_schedule_is_in_order_and_the_same_for_every_program(rate: float, reviews: int, jitter: bool) -> None:
    due = schedule(rate, reviews, jitter=jitter)
    assert due == sorted(due) == schedule(rate, reviews, jitter=jitter)
    assert len(due) == reviews


def test_schedule_keeps_its_rate() -> None:
    assert schedule(100, 10_000, jitter=False)[-1] == pytest.approx(100, rel=0.05)
    assert schedule(4, 1_000, jitter=True)[-1] == pytest.approx(250, rel=0.05)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
@pytest.mark.parametrize("asked", [100, 450, 60_000, 1_000_000])
def test_every_program_commits_its_last_review(program: Program, asked: int) -> None:
    given_, checkpoint = share_of(asked, program)
    assert 0 < given_ <= min(program.backlog or asked, program.most_reviews)
    assert given_ % checkpoint == 0
    assert checkpoint % 100 == 0
    assert checkpoint <= CHECKPOINT
