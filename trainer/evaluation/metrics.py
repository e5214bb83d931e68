"""How good a model is: figures from what it says of labelled texts, through the path that serves.

Owns the formulas. Scores through `schemas.inference.Model`, never through Keras. Compared with scikit-learn's in the
tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.inference import Model, Scores
from trainer.data.dataset import Part

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]

ECE_BINS = 15  # as Guo et al. 2017


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One label's precision, recall, F1, and how many texts have it."""

    label: int
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on N labelled texts.

    Attributes:
        figures: accuracy, macro_f1, mae, qwk, within_one, ece, nll.
        classes: one for each label.
        confusion: `int64[K, K]`, true label by row.
        scores: what the model said.
        targets: `intp[N]`.
    """

    figures: dict[str, float]
    classes: list[ClassFigures]
    confusion: Counts
    scores: Scores
    targets: Indices


def evaluate(model: Model, part: Part) -> Evaluation:
    """Score the texts with the served model and compare with their labels."""
    labels = model.decision.labels
    scores = model.score(part.texts)
    table = confusion(part.targets, scores.choices, len(labels))
    found = figures(part.targets, scores.choices, labels)
    found["ece"] = calibration_error(scores.probabilities, scores.choices, part.targets)
    found["nll"] = negative_log_likelihood(scores.probabilities, part.targets)
    return Evaluation(found, class_figures(table, labels), table, scores, part.targets)


def confusion(targets: Indices, choices: Indices, count: int) -> Counts:
    """Return `int64[K, K]`: how often `choices` said the column when the row was true."""
    return np.bincount(targets * count + choices, minlength=count * count).reshape(count, count)


def figures(targets: Indices, choices: Indices, labels: Sequence[int]) -> dict[str, float]:
    """Return what needs the choices only.

    accuracy; macro_f1 over the label set (a label that is never true and never said counts 0); mae in the labels'
    own unit (stars); qwk, Cohen's kappa with quadratic weights over the labels' order (Cohen 1968), 0 when it is not
    defined; within_one, the share at most one unit away.
    """
    return figures_of(confusion(targets, choices, len(labels)).astype(np.float64), labels)


def figures_of(table: npt.NDArray[np.float64], labels: Sequence[int]) -> dict[str, float]:
    """Return `figures` from a confusion matrix, true label by row; its counts may be fractions."""
    total = table.sum()
    values = np.asarray(labels, dtype=np.float64)
    away = np.abs(values[:, None] - values[None])
    return {
        "accuracy": float(np.trace(table) / total),
        "macro_f1": float(_f1(table).mean()),
        "mae": float((table * away).sum() / total),
        "qwk": _quadratic_kappa(table),
        "within_one": float(table[away <= 1].sum() / total),
    }


def class_figures(table: Counts, labels: Sequence[int]) -> list[ClassFigures]:
    """Return each label's figures from a confusion matrix; 0 where a share has no denominator."""
    right = np.diag(table)
    precision = right / np.maximum(table.sum(axis=0), 1)
    recall = right / np.maximum(table.sum(axis=1), 1)
    f1 = _f1(table.astype(np.float64))
    support = table.sum(axis=1)
    return [
        ClassFigures(label, float(precision[at]), float(recall[at]), float(f1[at]), int(support[at]))
        for at, label in enumerate(labels)
    ]


def calibration_error(probabilities: Floats, choices: Indices, targets: Indices) -> float:
    """Return the expected calibration error of the label given: mean |confidence - accuracy| over equal-width bins.

    Weighted by the rows in a bin (Naeini et al. 2015), 15 bins; the confidence is that of the rating said, which is
    what a reader of the rating sees.
    """
    rows = np.arange(len(targets))
    return sum(
        share * abs(confidence - accuracy)
        for confidence, accuracy, share in reliability(probabilities[rows, choices], choices == targets)
    )


def calibration_noise(confidences: Floats, *, draws: int = 200) -> float:
    """Return the expected calibration error a perfectly calibrated model would show on texts of these confidences.

    Bins of a finite test never hit their confidence exactly, and the error counts every miss; a measured one near this
    is as good as none. The mean of `draws` simulated tests, always the same ones.
    """
    random = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        right = random.random(len(confidences)) < confidences
        found.append(sum(share * abs(sure - hit) for sure, hit, share in reliability(confidences, right)))
    return float(np.mean(found))


def reliability(confidences: Floats, right: npt.NDArray[np.bool_]) -> list[tuple[float, float, float]]:
    """Return (mean confidence, accuracy, share of the rows) of each bin that has rows."""
    bins = np.minimum((confidences * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    found = []
    for number in range(ECE_BINS):
        inside = bins == number
        if inside.any():
            found.append((float(confidences[inside].mean()), float(right[inside].mean()), float(inside.mean())))
    return found


def negative_log_likelihood(probabilities: Floats, targets: Indices) -> float:
    """Return the mean of -log p(true label); p is held above 1e-9."""
    said = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(said, 1e-9)).mean())


def _f1(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found = table.sum(axis=0) + table.sum(axis=1)
    return 2 * np.diag(table) / np.where(found > 0, found, 1.0)


def _quadratic_kappa(table: npt.NDArray[np.float64]) -> float:
    at = np.arange(len(table))
    weights = (at[:, None] - at[None]) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = float((weights * expected).sum())
    return 1.0 - float((weights * table).sum()) / by_chance if by_chance else 0.0
