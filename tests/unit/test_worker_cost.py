"""What a batch costs: the fit finds the line, holds on where it cannot, and says what is worth waiting for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cost import PRIOR_FIXED_S, PRIOR_TOKEN_S, Cost


def fitted(fixed_s: float, token_s: float, sizes: list[int], noise: float = 0.0) -> Cost:
    cost, random = Cost(), np.random.default_rng(0)
    for tokens in sizes:
        cost.observe(tokens, (fixed_s + token_s * tokens) * (1 + float(random.uniform(-noise, noise))))
    return cost


@pytest.mark.parametrize(("fixed_s", "token_s"), [(0.005, 2e-6), (0.030, 3e-6), (0.012, 8e-6)])
def test_the_line_is_found_among_batches_of_many_sizes(fixed_s: float, token_s: float) -> None:
    sizes = np.random.default_rng(1).integers(10, 40_000, 400).tolist()
    cost = fitted(fixed_s, token_s, sizes, noise=0.1)
    assert cost.fixed_s == pytest.approx(fixed_s, abs=0.004)
    assert cost.each_token_s == pytest.approx(token_s, rel=0.12)


def test_batches_of_one_size_move_the_line_to_them_and_keep_its_slope() -> None:
    cost = fitted(0.030, 4e-6, [200] * 400)
    assert cost.of(200) == pytest.approx(0.0308, rel=0.02)
    assert cost.each_token_s == pytest.approx(PRIOR_TOKEN_S, rel=0.01)


def test_an_old_cost_is_forgotten() -> None:
    sizes = [100, 10_000] * 300
    cost = fitted(0.050, 10e-6, sizes)
    for tokens in sizes:
        cost.observe(tokens, 0.005 + 1e-6 * tokens)
    assert cost.of(10_000) == pytest.approx(0.015, rel=0.2)


def test_a_pause_of_the_machine_is_no_property_of_batches() -> None:
    cost = fitted(0.020, 3e-6, [100, 10_000] * 200)
    before = cost.of(100)
    cost.observe(100, 30.0)
    assert cost.of(100) < before * 1.2


def test_batches_without_tokens_are_learned_even_where_batches_were_thought_to_cost_nothing() -> None:
    cost = Cost()
    for _ in range(500):
        cost.observe(0, 0.0)
    assert cost.of(0) == pytest.approx(0.0)
    for _ in range(300):
        cost.observe(0, 0.010)
    assert cost.of(0) == pytest.approx(0.010, rel=0.1)


def test_a_fresh_one_knows_its_prior() -> None:
    assert Cost().of(1000) == pytest.approx(PRIOR_FIXED_S + 1000 * PRIOR_TOKEN_S)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1000)), max_size=60), st.floats(0, 1e7))
def test_whatever_was_seen_no_part_is_below_nothing(seen: list[tuple[int, float]], rate: float) -> None:
    cost = Cost()
    for tokens, seconds in seen:
        cost.observe(tokens, seconds)
    assert cost.fixed_s >= -1e-12
    assert cost.each_token_s >= 0
    assert cost.worth_waiting(rate) >= -1e-9


@given(st.floats(1e-4, 0.1), st.floats(0, 1e-4), st.floats(1, 1e5), st.floats(1, 1e4))
def test_a_little_wait_pays_below_what_it_says_and_not_above(
    fixed: float, token: float, rate: float, waiting: float
) -> None:
    """By the sum of the times until done: of those that wait, and of those that come in a moment and could join."""
    cost = Cost()
    cost.fixed_s, cost.each_token_s = fixed, token
    turns_at = cost.worth_waiting(rate)
    moment = fixed / 1000
    come = rate * moment
    apart = waiting * cost.of(waiting) + come * (cost.of(waiting) - moment / 2 + cost.of(come))
    together = waiting * (moment + cost.of(waiting + come)) + come * (moment / 2 + cost.of(waiting + come))
    if waiting < 0.99 * turns_at:
        assert together < apart
    elif waiting > 1.01 * turns_at:
        assert together > apart
