"""The simulation of batching plays every arrival, and its rules differ as they should."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.batching import RULES, STREAMS, Truth, poisson, simulate

TRUTH = Truth(fixed_s=0.010, token_s=3e-6)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("rule", RULES)
def test_nobody_is_settled_before_what_a_batch_costs_and_the_loop_is_busy_for_all_of_them(
    stream: str, rule: str
) -> None:
    random = np.random.default_rng(0)
    arrivals = STREAMS[stream](3000, 2.0, random)
    found = simulate(RULES[rule](), arrivals, TRUTH, random)
    least_ms = TRUTH.of(1) * 1000
    assert least_ms * 0.5 < found.p50_ms < found.p99_ms < 1000
    assert 1 <= found.mean_batch <= 2000
    least_busy = len(arrivals) / found.mean_batch * TRUTH.of(round(found.mean_batch)) / 2.5
    assert least_busy < found.busy <= 1


def test_a_fixed_linger_makes_a_quiet_stream_wait_and_the_learned_rule_does_not() -> None:
    found = {}
    for name, make in RULES.items():
        random = np.random.default_rng(1)
        found[name] = simulate(make(), poisson(5, 60.0, random), TRUTH, random)
    none, fixed, learned = (found[name].p50_ms for name in (*list(RULES)[:1], "fixed linger 50 ms", list(RULES)[-1]))
    assert fixed > none + 40
    assert learned == pytest.approx(none, abs=1)
