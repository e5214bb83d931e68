"""Halving: whatever is refused, every item has one outcome, in order, and only the items at fault are refused."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from worker.model.halving import rate_or_halve


@given(st.lists(st.booleans(), max_size=40))
def test_only_items_at_fault_are_refused(items: list[bool]) -> None:
    def rate(some: Sequence[bool]) -> list[str]:
        if not all(some):
            raise RuntimeError
        return ["rated" for _ in some]

    outcomes = rate_or_halve(items, rate, lambda _item, error: type(error).__name__)
    assert outcomes == ["rated" if fine else "RuntimeError" for fine in items]
