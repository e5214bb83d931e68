"""Figures of a model on labelled texts, scored through the path that serves.

Owns the formulas, and which of the figures are better when they are lower. Scores through `schemas.inference.Model`,
never through Keras. The tests compare the formulas with scikit-learn's. `gate` compares the figures of two models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.inference import Model, Scores
from trainer.data.dataset import Part

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]

ECE_BINS = 15  # as Guo et al. 2017
FIGURES = {
    "accuracy": "share of ratings that are right",
    "macro_f1": "mean F1 of the labels, each with the same weight",
    "mae": "mean error in stars",
    "qwk": "quadratic kappa: agreement beyond chance, errors weighted by their squared distance",
    "within_one": "share at most one star away",
    "ece": "expected calibration error of the confidence",
    "nll": "negative log likelihood",
}
LOWER_IS_BETTER = frozenset({"mae", "ece", "nll"})


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
    """A model on N labelled texts."""

    figures: dict[str, float]  # accuracy, macro_f1, mae, qwk, within_one, ece, nll
    classes: list[ClassFigures]  # one for each label
    confusion: Counts  # `int64[K, K]`, true label by row
    scores: Scores  # the model's answers
    targets: Indices  # `intp[N]`, index of the true label


def evaluate(model: Model, part: Part) -> Evaluation:
    """Score the texts with the served model and compare the ratings with the labels."""
    labels = model.decision.labels
    scores = model.score(part.texts)
    table = confusion(part.targets, scores.choices, len(labels))
    found = all_figures(scores.probabilities, scores.choices, part.targets, labels)
    return Evaluation(found, class_figures(table, labels), table, scores, part.targets)


def as_json(version: str, evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain JSON values."""
    return {
        "version": version,
        "reviews": len(evaluation.targets),
        "metrics": evaluation.figures,
        "classes": [asdict(label) for label in evaluation.classes],
        "confusion": evaluation.confusion.tolist(),
    }


def best(name: str, values: Sequence[float]) -> float:
    """Return the best of several values of the figure `name`."""
    return min(values) if name in LOWER_IS_BETTER else max(values)


def confusion(targets: Indices, choices: Indices, count: int) -> Counts:
    """Return `int64[K, K]`: how often the column was predicted where the row was true."""
    return np.bincount(targets * count + choices, minlength=count * count).reshape(count, count)


def all_figures(probabilities: Floats, choices: Indices, targets: Indices, labels: Sequence[int]) -> dict[str, float]:
    """Return every figure of `FIGURES`, from `float32[N, K]` probabilities and `intp[N]` choices and targets."""
    return {
        **figures(targets, choices, labels),
        "ece": calibration_error(probabilities, choices, targets),
        "nll": negative_log_likelihood(probabilities, targets),
    }


def figures(targets: Indices, choices: Indices, labels: Sequence[int]) -> dict[str, float]:
    """Return the figures that depend on the choices only.

    accuracy; macro_f1 over the label set (a label that is never true and never predicted counts 0); mae in the labels'
    own unit (stars); qwk, Cohen's kappa with quadratic weights over the labels' order (Cohen 1968), 0 when it is not
    defined; within_one, the share at most one unit away.
    """
    return figures_of(confusion(targets, choices, len(labels)).astype(np.float64), labels)


def figures_of(table: npt.NDArray[np.float64], labels: Sequence[int]) -> dict[str, float]:
    """Return the same as `figures` from a confusion matrix, true label by row; its counts may be fractions."""
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
    """Return the expected calibration error: mean |confidence - accuracy| over 15 bins of equal width.

    Weighted by the rows in a bin (Naeini et al. 2015). The confidence is that of the predicted rating, which is what a
    reader of the rating sees.
    """
    rows = np.arange(len(targets))
    return sum(
        share * abs(confidence - accuracy)
        for confidence, accuracy, share in reliability(probabilities[rows, choices], choices == targets)
    )


def calibration_noise(confidences: Floats, *, draws: int = 200) -> float:
    """Return the expected calibration error that a perfectly calibrated model would show at these confidences.

    In a finite test the accuracy of a bin never equals its confidence exactly, and the error counts every difference:
    a measured error near this one is as good as none. The mean of `draws` simulated tests, always the same ones.
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
    """Return the mean of -log p(true label); p is at least 1e-9."""
    true = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(true, 1e-9)).mean())


def _f1(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found = table.sum(axis=0) + table.sum(axis=1)
    return 2 * np.diag(table) / np.where(found > 0, found, 1.0)


def _quadratic_kappa(table: npt.NDArray[np.float64]) -> float:
    at = np.arange(len(table))
    weights = (at[:, None] - at[None]) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = float((weights * expected).sum())
    return 1.0 - float((weights * table).sum()) / by_chance if by_chance else 0.0
