"""The arithmetic of the table: quantiles, medians over runs, ratios. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

Figures = Mapping[str, float]

REFERENCE = "worker"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank, no interpolation).

    Raises:
        ValueError: there are no values, or the share is outside 0..1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"quantile {share} of {len(values)} values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def medians(runs: Iterable[Figures]) -> dict[str, float]:
    """Return the median of each figure over the runs that have it, in order of first appearance."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.items():
            found.setdefault(name, []).append(value)
    return {name: median(values) for name, values in found.items()}


def ratios(rows: Mapping[str, Figures]) -> dict[str, float]:
    """Return how many times each row's reviews a second the reference row does; empty when it was not measured."""
    reference = rows.get(REFERENCE, {}).get("reviews_per_s")
    if reference is None:
        return {}
    return {name: reference / row["reviews_per_s"] for name, row in rows.items() if row.get("reviews_per_s")}


def per_review(before: Figures, after: Figures, reviews: int) -> dict[str, float]:
    """Return the growth of each counter of seconds between two readings, in microseconds a review."""
    return {name: (value - before.get(name, 0.0)) * 1e6 / reviews for name, value in after.items()}


def alternated(names: Sequence[str], run: int) -> list[str]:
    """Return the order of rows in a run: forwards and backwards by turns, so that drift favours none."""
    return list(names) if run % 2 == 0 else list(reversed(names))
