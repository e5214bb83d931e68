"""The thresholds and the confidence of a label model, fitted on validation.

Owns the fitting; `schemas.label_decision` applies them. `calibrate` calls this for a label model, and the baselines are
given thresholds in the same way. Needs no TensorFlow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from schemas.decision import Decision, zero_one_costs
from schemas.label_decision import AnyDecision, LabelDecision
from trainer.data.targets import Names, is_named

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

OBSERVED = 0.5  # share of the observed labels in the score of a threshold; the rest is the model's own probabilities
LOWEST, HIGHEST = 0.01, 0.99


def plain_decision(labels: Names, thresholds: list[float] | None = None) -> AnyDecision:
    """Return the decision of an uncalibrated model: the likeliest star, or each label from 0.5 on."""
    if is_named(labels):
        return LabelDecision(labels=labels, thresholds=thresholds or [0.5] * len(labels))
    return Decision(labels=labels, costs=zero_one_costs(len(labels)))


def fit_thresholds(probabilities: Floats, targets: Bools, *, observed: float = OBSERVED) -> list[float]:
    """Return the threshold of each label with the highest expected F1 on the validation texts, `[N, K]` each.

    The targets of that score are half (`observed`) the observed labels and half the calibrated probabilities, which are
    much less noisy: a label with a dozen validation texts would get the threshold that happens to fit them.
    """
    columns = zip(probabilities.astype(np.float64).T, targets.T, strict=True)
    return [_threshold(shares, true, observed) for shares, true in columns]


def _threshold(shares: npt.NDArray[np.float64], true: Bools, observed: float) -> float:
    order = np.argsort(-shares, kind="stable")
    falling = shares[order]
    blended = (observed * true + (1 - observed) * shares)[order]
    f1 = 2 * blended.cumsum() / (np.arange(1, len(shares) + 1) + blended.sum())
    best = int(f1.argmax())
    below = falling[best + 1] if best + 1 < len(falling) else 0.0
    return round(float(np.clip((falling[best] + below) / 2, LOWEST, HIGHEST)), 4)


def fit_dependence(decision: LabelDecision, probabilities: Floats, targets: Bools) -> float:
    """Return the `dependence` under which the confidences are likeliest, given which sets of labels were right."""
    choices = decision.choices(probabilities)
    right = (choices == targets).all(axis=1)

    def loss(log_power: float) -> float:
        tried = decision.model_copy(update={"dependence": float(np.exp(log_power))})
        sure = np.clip(tried.confidences(probabilities, choices), 1e-6, 1 - 1e-6)
        return float(-np.log(np.where(right, sure, 1 - sure)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(5.0)), method="bounded")
    return round(float(np.exp(found.x)), 4)
