"""Figures of a model on labelled texts, scored through the path that serves.

Owns the formulas, and which of the figures are better when they are lower. Scores through `schemas.inference.Model`,
never through Keras. The tests compare the formulas with scikit-learn's. `gate` compares the figures of two models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.decision import Decision
from schemas.inference import Model, Scores
from schemas.label_decision import AnyDecision
from schemas.manifest import Task
from trainer.data.dataset import Part
from trainer.data.targets import Targets
from trainer.evaluation.label_metrics import (
    LABEL_FIGURES,
    average_precisions,
    choice_figures,
    label_likelihood,
    precisions_and_recalls,
)

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
MEANINGS: Mapping[Task, Mapping[str, str]] = {"stars": FIGURES, "labels": LABEL_FIGURES}
LOWER_IS_BETTER = frozenset({"mae", "ece", "label_ece", "nll"})


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One label's precision, recall, F1, how many texts have it, and of a label model its average precision."""

    label: int | str
    precision: float
    recall: float
    f1: float
    support: int
    average_precision: float | None = None

    def to_fields(self) -> dict[str, Any]:
        """Return the figures that the model has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on N labelled texts."""

    task: Task
    figures: dict[str, float]  # by the names of `MEANINGS`
    classes: list[ClassFigures]  # one for each label
    confusion: Counts | None  # `int64[K, K]`, true label by row; a label model has none
    scores: Scores  # the model's answers
    targets: Targets  # `intp[N]`, index of the true label, or `bool[N, K]`
    right: npt.NDArray[np.bool_]  # `bool[N]`, whether the decision is the author's


def evaluate(model: Model, part: Part) -> Evaluation:
    """Score the texts with the served model and compare the ratings with the labels."""
    return evaluation_of(model.score(part.texts), part.targets, model.decision)


def evaluation_of(scores: Scores, targets: Targets, decision: AnyDecision) -> Evaluation:
    """Compare the scores of texts with their labels."""
    right = ~decision.differ(scores.choices, targets)
    if isinstance(decision, Decision):
        labels = decision.labels
        table = confusion(targets, scores.choices, len(labels))
        found = all_figures(scores.probabilities, scores.choices, targets, labels)
        return Evaluation("stars", found, class_figures(table, labels), table, scores, targets, right)
    found = all_label_figures(scores, targets)
    return Evaluation(
        "labels", found, label_class_figures(scores, targets, decision.labels), None, scores, targets, right
    )


def all_label_figures(scores: Scores, targets: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return every figure of `LABEL_FIGURES`, in that order."""
    shares, right = scores.probabilities, (scores.choices == targets).all(axis=1)
    found = {
        **choice_figures(scores.choices, targets)[0],
        "average_precision": float(np.mean(average_precisions(shares, targets))),
        "ece": error_of(reliability(scores.confidences, right)),
        "label_ece": float(np.mean([error_of(reliability(*pair)) for pair in zip(shares.T, targets.T, strict=True)])),
        "nll": label_likelihood(shares, targets),
    }
    return {name: found[name] for name in LABEL_FIGURES}


def label_class_figures(scores: Scores, targets: npt.NDArray[np.bool_], names: Sequence[str]) -> list[ClassFigures]:
    """Return each label's figures."""
    precisions, recalls = precisions_and_recalls(scores.choices, targets)
    f1 = choice_figures(scores.choices, targets)[1]
    areas = average_precisions(scores.probabilities, targets)
    support = targets.sum(axis=0)
    return [
        ClassFigures(name, float(precisions[at]), float(recalls[at]), float(f1[at]), int(support[at]), areas[at])
        for at, name in enumerate(names)
    ]


def as_json(version: str, evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain JSON values."""
    return {
        "version": version,
        "reviews": len(evaluation.targets),
        "metrics": evaluation.figures,
        "classes": [label.to_fields() for label in evaluation.classes],
        **({} if evaluation.confusion is None else {"confusion": evaluation.confusion.tolist()}),
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
    return error_of(reliability(probabilities[rows, choices], choices == targets))


def error_of(bins: Sequence[tuple[float, float, float]]) -> float:
    """Return the calibration error of `reliability`'s bins."""
    return sum(share * abs(confidence - accuracy) for confidence, accuracy, share in bins)


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


def negative_log_likelihood(probabilities: Floats, targets: Targets) -> float:
    """Return the mean of -log p(true label), of a label model of -log p(true set); p is at least 1e-9."""
    if targets.ndim == 2:
        return label_likelihood(probabilities, targets)
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
