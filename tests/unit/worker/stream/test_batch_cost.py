"""What a batch costs: both costs are estimated, pauses hardly count, and the batch size worth waiting for."""

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
def test_both_costs_are_estimated_from_batches_of_many_sizes(fixed_s: float, token_s: float) -> None:
    sizes = np.random.default_rng(1).integers(10, 40_000, 400).tolist()
    cost = learned(fixed_s, token_s, sizes, noise=0.1)
    assert cost.fixed_s == pytest.approx(fixed_s, rel=0.05)
    assert cost.each_token_s == pytest.approx(token_s, rel=0.05)


def test_both_costs_are_estimated_when_services_are_slower_for_small_batches() -> None:
    """Half load of `make bench`: about 150 reviews a batch, and services whose time varies."""
    cost, random = Cost(), np.random.default_rng(0)
    for _ in range(400):
        tokens = int(random.normal(3000, 300))
        services_s = max(0.0, 0.020 - 10e-6 * (tokens - 3000) + random.normal(0, 0.003))
        cost.observe(tokens, services_s + 3e-6 * tokens, 3e-6 * tokens)
    assert cost.each_token_s == pytest.approx(3e-6, rel=0.05)
    assert cost.fixed_s == pytest.approx(0.020, rel=0.1)


def test_the_estimate_follows_a_change_of_cost() -> None:
    sizes = [100, 10_000] * 300
    cost = learned(0.050, 10e-6, sizes)
    for tokens in sizes:
        cost.observe(tokens, 0.005 + 1e-6 * tokens, 1e-6 * tokens)
    assert cost.of(10_000) == pytest.approx(0.015, rel=0.05)


def test_a_pause_of_the_machine_hardly_changes_the_estimate() -> None:
    cost = learned(0.020, 3e-6, [100, 10_000] * 200)
    before = cost.of(100)
    for of_tokens_s in (0.0, 30.0):
        cost.observe(100, 30.0, of_tokens_s)
    assert cost.of(100) < before * 1.2


def test_the_fixed_cost_is_learned_from_batches_without_tokens() -> None:
    cost = Cost()
    for _ in range(500):
        cost.observe(0, 0.0, 0.0)
    assert cost.fixed_s == pytest.approx(0.0, abs=1e-5)
    assert cost.each_token_s == PRIOR_TOKEN_S
    for _ in range(300):
        cost.observe(0, 0.010, 0.0)
    assert cost.fixed_s == pytest.approx(0.010, rel=0.1)


def test_a_new_estimate_is_the_prior() -> None:
    assert Cost().of(1000) == pytest.approx(PRIOR_FIXED_S + 1000 * PRIOR_TOKEN_S)


_seconds = st.floats(0, 1000)


@given(st.lists(st.tuples(st.integers(0, 10**6), _seconds, _seconds), max_size=60), st.floats(0, 1e7))
def test_estimates_are_never_negative(seen: list[tuple[int, float, float]], rate: float) -> None:
    cost = Cost()
    for tokens, seconds, of_tokens_s in seen:
        cost.observe(tokens, seconds, of_tokens_s)
    assert cost.fixed_s >= 0
    assert cost.each_token_s >= 0
    assert cost.worth_waiting(rate) >= 0


@given(st.floats(1e-4, 0.1), st.floats(0, 1e-4), st.floats(1, 1e5), st.floats(1, 1e4))
def test_waiting_lowers_mean_latency_below_the_threshold_and_not_above(
    fixed: float, token: float, rate: float, waiting: float
) -> None:
    """By the total time until rated: of the queued reviews, and of those that arrive soon and could join them."""
    cost = Cost()
    cost.fixed_s, cost.each_token_s = fixed, token
    threshold = cost.worth_waiting(rate)
    moment = fixed / 1000
    come = rate * moment
    separate_s = waiting * cost.of(waiting) + come * (cost.of(waiting) - moment / 2 + cost.of(come))
    joint_s = waiting * (moment + cost.of(waiting + come)) + come * (moment / 2 + cost.of(waiting + come))
    if waiting < 0.99 * threshold:
        assert joint_s < separate_s
    elif waiting > 1.01 * threshold:
        assert joint_s > separate_s
