"""Figures of a label model: any number of labels a text, from probabilities, decisions and the authors' labels.

Owns the formulas; `metrics` has those of stars, and calls these. The tests compare them with scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

LABEL_FIGURES = {
    "macro_f1": "mean F1 of the labels, each with the same weight",
    "micro_f1": "F1 of all labels of all texts together",
    "average_precision": "mean over the labels of the area under precision and recall, whatever the threshold",
    "accuracy": "share of texts whose whole set of labels is right",
    "ece": "expected calibration error of the confidence, the probability that the whole set is right",
    "label_ece": "mean over the labels of their probabilities' calibration error",
    "nll": "negative log likelihood, summed over the labels",
}


def choice_figures(chosen: Bools, targets: Bools, weights: Doubles | None = None) -> tuple[dict[str, float], Doubles]:
    """Return the figures that depend on the decisions, and the F1 of each label, `float64[K]`.

    `bool[N, K]` twice; each text counts `weights` times, `float64[N]`. A label that is never true and never given
    counts 0.
    """
    counted = np.ones(len(targets)) if weights is None else weights
    hits, given, true = (counted @ marks for marks in (chosen & targets, chosen, targets))
    f1 = 2 * hits / np.maximum(given + true, 1e-12)
    found = {
        "macro_f1": float(f1.mean()),
        "micro_f1": float(2 * hits.sum() / max((given + true).sum(), 1e-12)),
        "accuracy": float(counted @ (chosen == targets).all(axis=1) / counted.sum()),
    }
    return found, f1


def precisions_and_recalls(chosen: Bools, targets: Bools) -> tuple[Doubles, Doubles]:
    """Return each label's precision and recall, `float64[K]`; 0 where a share has no denominator."""
    hits = (chosen & targets).sum(axis=0)
    return hits / np.maximum(chosen.sum(axis=0), 1), hits / np.maximum(targets.sum(axis=0), 1)


def average_precision(shares: Floats, true: Bools) -> float:
    """Return the mean precision at each true text, by falling probability (`average_precision_score`); 0 without any.

    Texts of the same probability count at once, at the last of them.
    """
    if not true.any():
        return 0.0
    order = np.argsort(-shares, kind="stable")
    hits = true[order].cumsum()
    last = np.append(np.diff(shares[order]) != 0, True)
    hits, seen = hits[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / seen).sum() / true.sum())


def average_precisions(probabilities: Floats, targets: Bools) -> list[float]:
    """Return the average precision of each label, from `[N, K]` each."""
    return [average_precision(probabilities[:, at], targets[:, at]) for at in range(targets.shape[1])]


def label_likelihood(probabilities: Floats, targets: Bools) -> float:
    """Return the mean over the texts of -log p(its labels), the labels taken as independent; p is at least 1e-9."""
    right = np.where(targets, probabilities, 1 - probabilities.astype(np.float64))
    return float(-np.log(np.maximum(right, 1e-9)).sum(axis=1).mean())


def by_name(names: Sequence[str], values: Doubles) -> dict[str, float]:
    """Return a value of each label by `f1 of <name>`."""
    return {f"f1 of {name}": float(value) for name, value in zip(names, values, strict=True)}
