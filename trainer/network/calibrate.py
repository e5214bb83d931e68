"""From trained logits to calibrated beliefs: the mix of the parts, the temperature, the shrinking, the limits.

Owns what `model.join` scales by and what `schemas.decision` applies, all fitted on validation. Never fits on the test.
`decide` chooses the rule that makes a label of the beliefs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from schemas.decision import CertaintyRule, Decision, MismatchRule, tails
from schemas.encoding import UNKNOWN_ID, Ids
from schemas.inference import Model, Scores
from schemas.label_decision import AnyDecision
from trainer.data.targets import Names, Targets, matrix
from trainer.evaluation.metrics import Evaluation, negative_log_likelihood
from trainer.evaluation.thresholds import plain_decision

if TYPE_CHECKING:
    from trainer.network.fit import Examples  # which loads TensorFlow

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

MOST_SHARE = 10.0
MOST_POWER = 8.0


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


def fit_unknown_power(decision: Decision, logits: Floats, unknown_shares: Floats, targets: Indices) -> float:
    """Return the `unknown_power` with the lowest negative log likelihood, between 0 and 8.

    From texts, as they are and with some words made unknown: `float32[N, K]` logits, the share of unknown words in each
    (`float32[N]`) and `intp[N]` targets. The prior is the decision's.
    """
    own = decision.probabilities(logits)

    def nll(power: float) -> float:
        shrunk = decision.model_copy(update={"unknown_power": float(power)}).shrunk(own, unknown_shares)
        return negative_log_likelihood(shrunk, targets)

    return round(float(minimize_scalar(nll, bounds=(0.0, MOST_POWER), method="bounded").x), 4)


def with_unknown_words(rows: Sequence[Ids], seed: int) -> list[Ids]:
    """Return encoded texts, `int32[n]` each, with a random share of the words of each made unknown.

    The same share of the other words is drawn from all texts: what a text in another language has in common with the
    vocabulary means something else there.
    """
    random = np.random.default_rng(seed)
    words = np.concatenate(rows)
    found = []
    for row in rows:
        share = random.random()
        misread = np.where(random.random(len(row)) < share, random.choice(words, len(row)), row)
        found.append(np.where(random.random(len(row)) < share, np.int32(UNKNOWN_ID), misread))
    return found


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


def fit_certainty(model: Model, validation: Examples, test: Evaluation, accuracy: float) -> CertaintyRule:
    """Return the rule that calls as many ratings certain as it can while their accuracy on validation is `accuracy`.

    It is measured on the test. Where no confidence is enough, no rating is certain.
    """
    confidences, right = _judged(model.decision, model.score_ids(validation.rows), validation.targets)
    order = np.argsort(-confidences, kind="stable")
    enough = np.flatnonzero(right[order].cumsum() >= accuracy * np.arange(1, len(order) + 1))
    least = float(confidences[order[enough[-1]]]) if len(enough) else 1.0
    rule = CertaintyRule(
        accuracy=accuracy, min_confidence=int(least * 1e4) / 1e4, held_out_accuracy=0.0, held_out_share=0.0
    )
    confidences, right = _judged(model.decision, test.scores, test.targets)
    certain = confidences >= rule.min_confidence
    measured = {
        "held_out_accuracy": round(float(right[certain].mean()), 6) if certain.any() else 0.0,
        "held_out_share": round(float(certain.mean()), 6),
    }
    return rule.model_copy(update=measured)


def _judged(decision: AnyDecision, scores: Scores, targets: Targets) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the confidence of each rating, 0 where no word is known, and whether it is right."""
    confidences = np.where(scores.known_words > 0, scores.confidences, np.float32(0))
    return confidences, ~decision.differ(scores.choices, targets)
