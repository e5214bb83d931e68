"""How long a retry waits: bounded, growing, never immediate."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from worker.backoff import Backoff


@given(st.integers(), st.integers(0, 60), st.floats(0.01, 5), st.floats(5, 60))
def test_a_wait_is_within_its_bounds(seed: int, attempts: int, base_s: float, cap_s: float) -> None:
    backoff = Backoff(base_s=base_s, cap_s=cap_s, source=random.Random(seed))  # noqa: S311  (spreads retries)
    for attempt in range(attempts):
        ceiling = min(cap_s, base_s * 2**attempt)
        assert ceiling / 10 <= backoff.next_s() <= ceiling
    assert backoff.attempts == attempts


def test_reset_starts_over() -> None:
    backoff = Backoff(base_s=0.2, cap_s=10)
    for _ in range(20):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.2


def test_two_processes_wait_differently() -> None:
    assert [Backoff().next_s() for _ in range(3)] != [Backoff().next_s() for _ in range(3)]
