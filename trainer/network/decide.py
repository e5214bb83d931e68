"""The decision rule: from calibrated probabilities to one label, chosen where it must hold.

Owns the grid of rules and its score. `across` brings the probabilities of apps that were not learned; without groups
they are of the validation side. `schemas.decision` applies the rule. A new rule is a function here that returns a cost
matrix, and a name in `settings.TrainSettings.decide`.

A rule that gains on the apps it was chosen on loses on others that have more low stars (LOG.md, 9). So a rule is scored
by what it gains over the likeliest label in the group where it gains least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.batch.id_rows import IdRows, Ids
from schemas.decision import Decision, zero_one_costs
from schemas.encoding import Encoder
from schemas.label_decision import AnyDecision, LabelDecision
from trainer.data.targets import Names
from trainer.evaluation.metrics import figures_of
from trainer.evaluation.rules import median_costs
from trainer.evaluation.thresholds import fit_dependence, fit_thresholds, plain_decision
from trainer.network.across import LeftOut
from trainer.network.calibrate import fit_temperature, fit_unknown_power, with_unknown_words
from trainer.settings import TrainSettings

if TYPE_CHECKING:
    from trainer.network.fit import Examples  # which loads TensorFlow

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Costs = list[list[float]]

# The grid: the cost of each star of distance relative to being wrong at all, the extra weight of rare labels (weight =
# share ** -tilt), and the least belief in a label, as a share of the belief in the likeliest one. It is small on
# purpose: every point is a reasonable rule, and the best of many noisy points is mostly chance. It begins at the
# likeliest label. Distance has no meaning between two labels.
DISTANCES = (0.0, 0.1, 0.2, 0.35, 0.5)
TILTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
TILTS_OF_TWO = (0.0, 0.05, 0.1, 0.15, 0.2)
LEAST_BELIEFS = (0.5, 0.6, 0.7, 0.8)
OBSERVED = 0.5  # share of the observed labels in the grid's score; the rest is the model's own probabilities
ACCURACY = 4.0  # its weight in the score, beside macro-F1, kappa and the mean error
FEWEST_IN_GROUP = 300  # texts; a smaller group's figures are mostly chance

Rule = Literal["auto", "likeliest", "median"]


class HeldOut(NamedTuple):
    """N texts on which rules are compared: none of them, and of their groups none, was learned."""

    probabilities: Floats  # `float32[N, K]`, calibrated
    targets: Indices  # `intp[N]`
    groups: Indices  # `intp[N]`, the number of each text's group; all 0 without groups


class Beliefs(NamedTuple):
    """What a decision is fitted on: the network, its logits of the validation side, and what is known besides."""

    predict: Callable[[Sequence[Ids]], Floats]  # rows `int32[n]` to logits `float32[N, K]`
    logits: Floats  # `float32[N, K]`, of the validation side
    prior: Floats  # `float32[K]`, the shares of the labels
    left_out: LeftOut | None  # None: there are no groups


def fit_decision(
    settings: TrainSettings, encoder: Encoder, beliefs: Beliefs, validation: Examples, labels: Names
) -> AnyDecision:
    """Calibrate on the validation side, and choose the rule on whole groups where there are any."""
    temperature = fit_temperature(beliefs.logits, validation.targets, labels)
    plain = plain_decision(labels).model_copy(update={"temperature": temperature})
    if isinstance(plain, LabelDecision):
        shares = plain.probabilities(beliefs.logits)
        rule = plain.model_copy(update={"thresholds": fit_thresholds(shares, validation.targets)})
        return rule.model_copy(update={"dependence": fit_dependence(rule, shares, validation.targets)})
    decision = plain.model_copy(update={"prior": [round(float(share), 6) for share in beliefs.prior]})
    # As they are, too: where words that no training text has do not matter, such as numbers, nothing is to shrink.
    rows = [*validation.rows, *with_unknown_words(validation.rows, settings.seed)]
    words, known = encoder.word_counts(IdRows.of(rows))
    unknown_shares = ((words - known) / np.maximum(words, 1)).astype(np.float32)
    logits = np.concatenate([beliefs.logits, beliefs.predict(rows[len(validation.rows) :])])
    power = fit_unknown_power(decision, logits, unknown_shares, np.concatenate([validation.targets] * 2))
    decision = decision.model_copy(update={"unknown_power": power})
    if beliefs.left_out is None:
        probabilities = decision.probabilities(beliefs.logits)
        held_out = HeldOut(probabilities, validation.targets, np.zeros(len(probabilities), dtype=np.intp))
    else:
        held_out = HeldOut(beliefs.left_out.probabilities, beliefs.left_out.targets, beliefs.left_out.folds)
    return choose_rule(settings.decide, held_out, decision)


def costs_of(distance: float, tilt: float, shares: npt.NDArray[np.float64]) -> Costs:
    """Return `K x K` costs: `share[j] ** -tilt * ([j != k] + distance * |j - k|)`, the largest of them 1."""
    at = np.arange(len(shares))
    apart = np.abs(at[:, None] - at[None])
    costs = (apart > 0) + distance * apart
    costs = costs * (np.maximum(shares, 1e-3) ** -tilt)[:, None]
    return [[round(float(cost), 6) for cost in row] for row in costs / costs.max()]


def choose_rule(rule: Rule, held_out: HeldOut, decision: Decision) -> Decision:
    """Return the decision with the costs and the least belief of the rule.

    `auto` takes the point of the grid with the highest gain in 4 accuracy + macro-F1 + quadratic kappa - MAE over the
    likeliest label, in the group where it gains least. The targets of that score are half the observed labels and half
    the calibrated probabilities, which are much less noisy; for the same reason each point is averaged with its
    neighbours. Two labels in equal shares give the likeliest label.
    """
    count = len(decision.labels)
    if rule != "auto":
        costs = zero_one_costs(count) if rule == "likeliest" else median_costs(count)
        return decision.model_copy(update={"costs": costs})
    shares = np.bincount(held_out.targets, minlength=count) / len(held_out.targets)
    two = count == 2
    tilts, distances, beliefs = (TILTS_OF_TWO, (0.1,), (0.0,)) if two else (TILTS, DISTANCES, LEAST_BELIEFS)
    likeliest = _scores(held_out, held_out.probabilities.argmax(axis=1), decision.labels)
    found: list[tuple[float, Decision]] = []
    for belief in beliefs:
        rules = [
            [
                decision.model_copy(update={"costs": costs_of(distance, tilt, shares), "least_belief": belief})
                for distance in distances
            ]
            for tilt in tilts
        ]
        gains = np.array([[_least_gain(held_out, point, likeliest) for point in row] for row in rules])
        best = np.unravel_index(int(_smooth(gains).argmax()), gains.shape)
        found.append((float(_smooth(gains)[best]), rules[best[0]][best[1]]))
    return max(found, key=lambda point: point[0])[1]


def _least_gain(held_out: HeldOut, decision: Decision, likeliest: npt.NDArray[np.float64]) -> float:
    choices = decision.choices(held_out.probabilities)
    return float((_scores(held_out, choices, decision.labels) - likeliest).min())


def _scores(held_out: HeldOut, choices: Indices, labels: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the score of the choices in each group that is large enough, in all texts when none is."""
    count = len(labels)
    blended = OBSERVED * np.eye(count)[held_out.targets] + (1 - OBSERVED) * held_out.probabilities
    chosen = np.eye(count)[choices]
    large = np.flatnonzero(np.bincount(held_out.groups) >= FEWEST_IN_GROUP)
    groups = [held_out.groups == group for group in large] or [np.ones(len(choices), dtype=bool)]
    scores = []
    for inside in groups:
        found = figures_of(blended[inside].T @ chosen[inside], labels)
        scores.append(ACCURACY * found["accuracy"] + found["macro_f1"] + found["qwk"] - found["mae"])
    return np.array(scores)


def _smooth(grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Average each point with its eight neighbours, edges repeated."""
    padded = np.pad(grid, 1, mode="edge")
    high, wide = grid.shape
    shifted = [padded[down : down + high, right : right + wide] for down in range(3) for right in range(3)]
    return np.mean(shifted, axis=0)  # type: ignore[no-any-return]
