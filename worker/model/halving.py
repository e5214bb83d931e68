"""Halves what a runtime refuses until the text at fault is alone: that one is refused, the others are rated.

Owns the errors by which a runtime refuses, and the halving. The classifier and `worker.Model` bring the rating.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np

from schemas.inference import Scores

# The runtime itself, an encoder or NumPy that meets an impossible value, a graph too large for the memory left.
REFUSALS: Final = (RuntimeError, ValueError, MemoryError)

T = TypeVar("T")
R = TypeVar("R")


def rate_or_halve(
    items: Sequence[T], rate: Callable[[Sequence[T]], list[R]], refuse: Callable[[T, Exception], R]
) -> list[R]:
    """Return one outcome for each item, in order.

    Args:
        items: any number; the first attempt is given this very object.
        rate: returns an outcome for each, or raises one of `REFUSALS`.
        refuse: the outcome of an item that is refused by itself.
    """
    if not items:
        return []
    try:
        return rate(items)
    except REFUSALS as error:
        if len(items) == 1:
            return [refuse(items[0], error)]
    half = len(items) // 2
    return rate_or_halve(items[:half], rate, refuse) + rate_or_halve(items[half:], rate, refuse)


def require_numbers(scores: Scores) -> Scores:
    """Return the scores: weights that went bad pass the golden reviews when those do not use them.

    Raises:
        ValueError: a probability is not a number.
    """
    if not np.isfinite(scores.probabilities).all():
        raise ValueError("a probability is not a number")
    return scores
