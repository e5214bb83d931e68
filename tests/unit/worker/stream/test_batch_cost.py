"""What a batch costs: both parts are found, pauses are none of them, and it says what is worth waiting for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stream.batch_cost import PRIOR_FIXED_S, PRIOR_TOKEN_S, Cost


def learned(fixed_s: float, token_s: float, sizes: list[int], noise: float = 0.0) -> Cost:
    cost, random = Cost(), np.random.default_rng(0)
    for tokens in sizes:
        slow, slow_services = (1 + float(random.uniform(-noise, noise)) for _ in range(2))
        cost.observe(tokens, fixed_s * slow_services + token_s * tokens * slow, token_s * tokens * slow)
    return cost


@pytest.mark.parametrize(("fixed_s", "token_s"), [(0.005, 2e-6), (0.030, 3e-6), (0.012, 8e-6)])
def test_the_line_is_found_among_batches_of_many_sizes(fixed_s: float, token_s: float) -> None:
    sizes = np.random.default_rng(1).integers(10, 40_000, 400).tolist()
    cost = learned(fixed_s, token_s, sizes, noise=0.1)
    assert cost.fixed_s == pytest.approx(fixed_s, rel=0.05)
    assert cost.each_token_s == pytest.approx(token_s, rel=0.05)


def test_the_line_is_found_where_services_are_slow_when_batches_are_small() -> None:
    """Half load of `make bench`: 150 reviews a batch, give or take, and services that take what they take."""
    cost, random = Cost(), np.random.default_rng(0)
    for _ in range(400):
        tokens = int(random.normal(3000, 300))
        services_s = max(0.0, 0.020 - 10e-6 * (tokens - 3000) + random.normal(0, 0.003))
        cost.observe(tokens, services_s + 3e-6 * tokens, 3e-6 * tokens)
    assert cost.each_token_s == pytest.approx(3e-6, rel=0.05)
    assert cost.fixed_s == pytest.approx(0.020, rel=0.1)


def test_an_old_cost_is_forgotten() -> None:
    sizes = [100, 10_000] * 300
    cost = learned(0.050, 10e-6, sizes)
    for tokens in sizes:
        cost.observe(tokens, 0.005 + 1e-6 * tokens, 1e-6 * tokens)
    assert cost.of(10_000) == pytest.approx(0.015, rel=0.05)


def test_a_pause_of_the_machine_is_no_property_of_batches() -> None:
    cost = learned(0.020, 3e-6, [100, 10_000] * 200)
    before = cost.of(100)
    for of_tokens_s in (0.0, 30.0):
        cost.observe(100, 30.0, of_tokens_s)
    assert cost.of(100) < before * 1.2


def test_batches_without_tokens_are_learned_even_where_batches_were_thought_to_cost_nothing() -> None:
    cost = Cost()
    for _ in range(500):
        cost.observe(0, 0.0, 0.0)
    assert cost.fixed_s == pytest.approx(0.0, abs=1e-5)
    assert cost.each_token_s == PRIOR_TOKEN_S
    for _ in range(300):
        cost.observe(0, 0.010, 0.0)
    assert cost.fixed_s == pytest.approx(0.010, rel=0.1)


def test_a_fresh_one_knows_its_prior() -> None:
    assert Cost().of(1000) == pytest.approx(PRIOR_FIXED_S + 1000 * PRIOR_TOKEN_S)


_seconds = st.floats(0, 1000)


@given(st.lists(st.tuples(st.integers(0, 10**6), _seconds, _seconds), max_size=60), st.floats(0, 1e7))
def test_whatever_was_seen_no_part_is_below_nothing(seen: list[tuple[int, float, float]], rate: float) -> None:
    cost = Cost()
    for tokens, seconds, of_tokens_s in seen:
        cost.observe(tokens, seconds, of_tokens_s)
    assert cost.fixed_s >= 0
    assert cost.each_token_s >= 0
    assert cost.worth_waiting(rate) >= 0


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
