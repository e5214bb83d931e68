"""Beliefs about apps that were not learned: the wide part alone, each group left out in turn.

Owns the groups (what was reviewed, or what `--group-field` names) and the folds made of them. Training the whole
network once for each app would take as many times as long; the linear part takes seconds, and its probabilities on
an app that it has not seen are no sharper than a decision rule should assume. `decide` chooses the rule on them, and
the report shows their figures by group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.decision import Decision, zero_one_costs
from schemas.encoding import Ids
from schemas.inference import Scores
from schemas.label_decision import AnyDecision
from trainer.data.targets import Names, Targets, is_named
from trainer.evaluation.metrics import evaluation_of
from trainer.network.calibrate import fit_temperature
from trainer.network.wide import fit_wide
from trainer.settings import ModelSettings

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

FOLDS = 5
STEPS = 30  # of the fit; more change the probabilities of other apps by less than the folds differ
MOST_SHARE = 0.9  # of the texts in one group; with more there is nothing to learn the others from


class LeftOut(NamedTuple):
    """Texts scored by a model that has not seen their group."""

    probabilities: Floats  # `float32[N, K]`, calibrated over all of them
    targets: Indices  # `intp[N]`
    folds: Indices  # `intp[N]`, the fold of each
    names: list[str]  # the groups of each fold

    def figures(self, decision: AnyDecision) -> dict[str, tuple[int, dict[str, float]]]:
        """Return how many texts each fold has and their figures by a decision rule."""
        choices, found = decision.choices(self.probabilities), {}
        for fold, name in enumerate(self.names):
            at = self.folds == fold
            shares, confidences = self.probabilities[at], decision.confidences(self.probabilities[at], choices[at])
            figures = evaluation_of(Scores.of(shares, choices[at], confidences), self.targets[at], decision).figures
            found[name] = int(at.sum()), figures
        return found


def folds_of(groups: Sequence[str]) -> Indices | None:
    """Return the fold of each text, `intp[N]`: whole groups, the largest first into the smallest fold.

    None when there is one group, or nearly one.
    """
    counts = Counter(groups)
    if len(counts) < 2 or max(counts.values()) > MOST_SHARE * len(groups):
        return None
    sizes = [0] * min(FOLDS, len(counts))
    fold_of: dict[str, int] = {}
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        smallest = sizes.index(min(sizes))
        fold_of[name] = smallest
        sizes[smallest] += count
    return np.array([fold_of[name] for name in groups], dtype=np.intp)


def leave_groups_out(
    rows: Sequence[Ids],
    targets: Targets,
    groups: Sequence[str],
    size: int,
    labels: Names,
    settings: ModelSettings,
    advance: Callable[[], None] = lambda: None,
) -> LeftOut | None:
    """Score N encoded texts, `int32[n]` each, by wide parts that have not seen their group; `advance` after each fold.

    None without groups, of a label model, or when a label is in one fold only. `size`: how many ids the encoder gives.
    """
    classes = len(labels)
    folds = folds_of(groups)
    if folds is None or is_named(labels):
        return None
    logits = np.empty((len(rows), classes), dtype=np.float32)
    for fold in range(int(folds.max()) + 1):
        inside = np.flatnonzero(folds == fold)
        outside = np.flatnonzero(folds != fold)
        if len(np.unique(targets[outside])) < classes:
            return None
        wide = fit_wide([rows[row] for row in outside.tolist()], targets[outside], size, classes, settings, steps=STEPS)
        logits[inside] = wide.logits([rows[row] for row in inside.tolist()])
        advance()
    names = [
        sorted({groups[row] or "(none)" for row in np.flatnonzero(folds == fold).tolist()}) for fold in range(FOLDS)
    ]
    temperature = fit_temperature(logits, targets, labels)
    decision = Decision(labels=list(labels), temperature=temperature, costs=zero_one_costs(classes))
    shown = [_listed(found) for found in names if found]
    return LeftOut(decision.probabilities(logits), targets, folds, shown)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
