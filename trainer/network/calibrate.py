"""From trained logits to a decision: the mix of the parts, the temperature and the costs, all fitted on validation.

Owns what `model.join` scales by and what `schemas.decision` applies. Never sees the test. A new decision rule is a
function here that returns a cost matrix, and a name in `settings.TrainSettings.decide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from schemas.decision import Decision, MismatchRule, tails, zero_one_costs
from schemas.inference import Model
from schemas.label_decision import AnyDecision
from trainer.data.targets import Names, Targets, matrix
from trainer.evaluation.metrics import Evaluation, figures_of, negative_log_likelihood
from trainer.evaluation.thresholds import fit_dependence, fit_thresholds, plain_decision
from trainer.settings import TrainSettings

if TYPE_CHECKING:
    from trainer.network.fit import Examples  # which loads TensorFlow

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Costs = list[list[float]]

# The grid: the cost of each star of distance relative to being wrong at all, and the extra weight of rare labels
# (weight = share ** -tilt). It is small on purpose: every point is a reasonable rule, and the best of many noisy points
# is mostly chance. Distance has no meaning between two labels, and no tilt is a reasonable rule there.
DISTANCES = (0.1, 0.2, 0.35, 0.5)
TILTS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
TILTS_OF_TWO = (0.0, 0.05, 0.1, 0.15, 0.2)
OBSERVED = 0.5  # share of the observed labels in the grid's score; the rest is the model's own probabilities
MOST_SHARE = 10.0


def fit_mix(deep: Floats, wide: Floats, targets: Targets) -> tuple[float, float]:
    """Return the weights of the deep and the wide logits with the lowest negative log likelihood, each in 0..10.

    Convex, so there is one answer: stacking (Wolpert 1992) with two numbers. There is no bias, because on film reviews
    it fitted the noise of the validation side, whose N texts these are: `float32[N, K]` each, and their targets.
    """
    parts = np.stack([deep, wide]).astype(np.float64)
    true = matrix(targets, deep.shape[1])
    log_likelihood = _of_labels if targets.ndim == 2 else _of_stars

    def loss(shares: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        likely, gap = log_likelihood(np.tensordot(shares, parts, axes=1), true)
        return -likely, (parts * gap).sum(axis=2).mean(axis=1)

    found = minimize(loss, np.array([0.5, 0.5]), jac=True, method="L-BFGS-B", bounds=[(0.0, MOST_SHARE)] * 2)
    return round(float(found.x[0]), 4), round(float(found.x[1]), 4)


def _of_stars(logits: npt.NDArray[np.float64], true: Floats) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the mean log likelihood of a softmax, and its slope in the logits, `float64[N, K]`, with other sign."""
    logits -= logits.max(axis=1, keepdims=True)
    log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float((true * log_shares).sum(axis=1).mean()), np.exp(log_shares) - true


def _of_labels(logits: npt.NDArray[np.float64], true: Floats) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the same of independent labels."""
    log_shares = -np.logaddexp(0.0, -logits)
    likely = true * log_shares + (1 - true) * (log_shares - logits)
    return float(likely.sum(axis=1).mean()), np.exp(log_shares) - true


def decide(settings: TrainSettings, logits: Floats, targets: Targets, labels: Names) -> AnyDecision:
    """Return the calibrated decision rule of `float32[N, K]` logits, from the N validation texts."""
    temperature = fit_temperature(logits, targets, labels)
    plain = plain_decision(labels).model_copy(update={"temperature": temperature})
    shares = plain.probabilities(logits)
    if isinstance(plain, Decision):
        return plain.model_copy(update={"costs": choose_costs(settings.decide, shares, targets, plain.labels)})
    rule = plain.model_copy(update={"thresholds": fit_thresholds(shares, targets)})
    return rule.model_copy(update={"dependence": fit_dependence(rule, shares, targets)})


def fit_temperature(logits: Floats, targets: Targets, labels: Names) -> float:
    """Return the temperature with the lowest negative log likelihood (Guo et al. 2017), between 0.2 and 5.

    From `float32[N, K]` logits and the targets of the validation texts.
    """
    plain = plain_decision(labels)

    def nll(log_temperature: float) -> float:
        decision = plain.model_copy(update={"temperature": float(np.exp(log_temperature))})
        return negative_log_likelihood(decision.probabilities(logits), targets)

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
    """Return the costs `|j - k|`, with which the decision is the median of the distribution."""
    return [[float(abs(true - rated)) for rated in range(count)] for true in range(count)]


def choose_costs(
    rule: Literal["auto", "likeliest", "median"], probabilities: Floats, targets: Indices, labels: Sequence[int]
) -> Costs:
    """Return the costs of the decision rule.

    `auto` takes the point of the grid with the highest 2 accuracy + macro-F1 + quadratic kappa - MAE. The targets of
    that score are half the observed labels and half the calibrated probabilities, which are much less noisy; for the
    same reason each point is averaged with its neighbours. Two labels in equal shares give the likeliest label.
    The calibrated probabilities, `float32[N, K]`, and the targets, `intp[N]`, are of the validation texts.
    """
    count = len(labels)
    if rule == "likeliest":
        return zero_one_costs(count)
    if rule == "median":
        return median_costs(count)
    shares = np.bincount(targets, minlength=count) / len(targets)
    tilts, distances = (TILTS_OF_TWO, DISTANCES[:1]) if count == 2 else (TILTS, DISTANCES)
    blended = OBSERVED * np.eye(count)[targets] + (1 - OBSERVED) * probabilities
    gains = np.empty((len(tilts), len(distances)))
    for row, tilt in enumerate(tilts):
        for column, distance in enumerate(distances):
            decision = Decision(labels=list(labels), costs=costs_of(distance, tilt, shares))
            table = blended.T @ np.eye(count)[decision.choices(probabilities)]
            found = figures_of(table, labels)
            gains[row, column] = 2 * found["accuracy"] + found["macro_f1"] + found["qwk"] - found["mae"]
    best = int(_smooth(gains).argmax())
    return costs_of(distances[best % len(distances)], tilts[best // len(distances)], shares)


def fit_mismatch(model: Model, validation: Examples, test: Evaluation, rate: float) -> MismatchRule:
    """Return the rule that flags at most a share `rate` of the authors' stars, fitted on the validation side.

    The threshold is the k-th smallest tail of N, k = floor(rate * (N + 1)): of exchangeable reviews at most k of N + 1
    are below it (split conformal prediction, Vovk et al. 2005; Lei et al. 2018). It is measured on the test.
    """
    found = np.sort(tails(model.score_ids(validation.rows).probabilities, validation.targets))
    rank = int(rate * (len(found) + 1))
    rule = MismatchRule(
        false_alarm_rate=rate, threshold=round(float(found[rank - 1]), 8) if rank else 0.0, held_out_share=0.0
    )
    flagged = rule.contradicts(test.scores.probabilities, test.targets)
    return rule.model_copy(update={"held_out_share": round(float(flagged.mean()), 6)})


def _smooth(grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Average each point with its eight neighbours, edges repeated."""
    padded = np.pad(grid, 1, mode="edge")
    high, wide = grid.shape
    shifted = [padded[down : down + high, right : right + wide] for down in range(3) for right in range(3)]
    return np.mean(shifted, axis=0)  # type: ignore[no-any-return]
