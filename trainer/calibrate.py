"""From trained logits to a decision: the temperature and the costs, both fitted on validation.

Owns what `schemas.decision` applies. Never sees the test. A new decision rule is a function here that returns a cost
matrix, and a name in `settings.TrainSettings.decide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from schemas.decision import Decision, zero_one_costs
from trainer.evaluate import figures

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Costs = list[list[float]]

# The grid: how much a star of distance costs beside being wrong at all, and how far rare labels are weighed up
# (weight = share ** -tilt). The first of each is the likeliest label.
DISTANCES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 100.0)
TILTS = tuple(step / 20 for step in range(17))


def fit_temperature(logits: Floats, targets: Indices, labels: Sequence[int]) -> float:
    """Return the temperature with the least negative log likelihood (Guo et al. 2017), within 0.2 and 5.

    Args:
        logits: `float32[N, K]` of the validation texts.
        targets: `intp[N]`.
        labels: what the classes mean.
    """

    def nll(log_temperature: float) -> float:
        decision = Decision(
            labels=list(labels), temperature=float(np.exp(log_temperature)), costs=zero_one_costs(len(labels))
        )
        said = decision.probabilities(logits)[np.arange(len(targets)), targets]
        return float(-np.log(np.maximum(said, 1e-9)).mean())

    found = minimize_scalar(nll, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def costs_of(distance: float, tilt: float, shares: npt.NDArray[np.float64]) -> Costs:
    """Return `K x K` costs: `share[j] ** -tilt * ([j != k] + distance * |j - k|)`, the largest of them 1."""
    at = np.arange(len(shares))
    apart = np.abs(at[:, None] - at[None])
    costs = (apart > 0) + distance * apart
    costs = costs * (np.maximum(shares, 1e-3) ** -tilt)[:, None]
    return [[round(float(cost), 6) for cost in row] for row in costs / costs.max()]


def median_costs(count: int) -> Costs:
    """Return the costs under which the median of the distribution is said: `|j - k|`."""
    return [[float(abs(true - said)) for said in range(count)] for true in range(count)]


def choose_costs(
    rule: Literal["auto", "likeliest", "median"], probabilities: Floats, targets: Indices, labels: Sequence[int]
) -> Costs:
    """Return the costs to decide by.

    `auto` takes the point of the grid whose validation accuracy + macro-F1 + quadratic kappa - MAE is highest: the
    four figures a reader compares, weighed alike. Each point is averaged with its neighbours, because the best of 187
    noisy ones is mostly luck.

    Args:
        rule: its name in the settings.
        probabilities: `float32[N, K]` of the validation texts, calibrated.
        targets: `intp[N]`.
        labels: what the classes mean.
    """
    count = len(labels)
    if rule == "likeliest":
        return zero_one_costs(count)
    if rule == "median":
        return median_costs(count)
    shares = np.bincount(targets, minlength=count) / len(targets)
    gains = np.empty((len(TILTS), len(DISTANCES)))
    for row, tilt in enumerate(TILTS):
        for column, distance in enumerate(DISTANCES):
            decision = Decision(labels=list(labels), costs=costs_of(distance, tilt, shares))
            found = figures(targets, decision.choices(probabilities), labels)
            gains[row, column] = found["accuracy"] + found["macro_f1"] + found["qwk"] - found["mae"]
    best = int(_smooth(gains).argmax())
    return costs_of(DISTANCES[best % len(DISTANCES)], TILTS[best // len(DISTANCES)], shares)


def _smooth(grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Average each point with its eight neighbours, edges repeated."""
    padded = np.pad(grid, 1, mode="edge")
    high, wide = grid.shape
    shifted = [padded[down : down + high, right : right + wide] for down in range(3) for right in range(3)]
    return np.mean(shifted, axis=0)  # type: ignore[no-any-return]
