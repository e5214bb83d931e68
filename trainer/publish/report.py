"""report.html: what a run found, on one self-contained page.

Owns the page and what is worth showing; `charts` draws. Every figure is of the served file on the test side. Quotes
review texts only in the list of worst mistakes, which `--no-texts` leaves out. Charts are inline SVG and nothing is
fetched, so the file can be mailed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, StrictUndefined

from schemas.encoding import UNKNOWN_ID
from trainer.evaluation.metrics import calibration_noise, reliability
from trainer.publish import charts
from trainer.publish.bundle import Run
from trainer.publish.charts import Group

FIGURES = {
    "accuracy": "share of ratings that are right",
    "macro_f1": "F1, every label weighed alike",
    "mae": "mean error in stars",
    "qwk": "quadratic kappa: agreement beyond chance, far misses weighed more",
    "within_one": "share at most one star away",
    "ece": "expected calibration error of the confidence",
    "nll": "negative log likelihood",
}
LOWER_IS_BETTER = frozenset({"mae", "ece", "nll"})
HEADLINES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "mae": "mean error", "qwk": "kappa", "ece": "ECE"}
LENGTH_EDGES = (3, 6, 12, 25, 50, 100, 200)
UNKNOWN_EDGES = (0.0, 0.05, 0.1, 0.2, 0.4)
THRESHOLDS = np.linspace(0, 0.99, 100)
MISTAKES, MISTAKE_CHARACTERS = 15, 280

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure with the best floor's: what it is called, both values, and whether the model is at least as good."""

    title: str
    value: float
    floor: float | None
    better: bool


@dataclass(frozen=True, slots=True)
class Mistake:
    """A test text that is rated wrong, and how sure the model was."""

    text: str
    said: int
    true: int
    confidence: float


def render(run: Run) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("trainer.publish").joinpath("report.html.j2").read_text(encoding="utf-8"))
    models = {f"this model ({run.parity.variant} TFLite)": run.evaluation.figures, **run.floors}
    if run.published is not None:
        models[f"serving until now: {run.published.version}"] = run.published.figures
    return template.render(
        run=run,
        models=models,
        best={name: _best(name, [figures[name] for figures in models.values()]) for name in FIGURES},
        meanings=FIGURES,
        lower=LOWER_IS_BETTER,
        headlines=headlines(run),
        settings=run.settings.model_dump(
            mode="json", exclude={"data", "test_data", "unlabelled", "registry", "test_out"}
        ),
        charts=_charts(run),
        noise=calibration_noise(_confidences(run)),
        coverage=[row for row in _coverage(run)[30::10] if row[1] > 0],
        mistakes=worst_mistakes(run) if run.settings.texts else None,
        variants=list(zip(run.parities, run.tried, strict=True)),
    )


def headlines(run: Run) -> list[Headline]:
    """Return the figures that lead the page, each with the best value any floor has in it."""
    found = []
    for name, title in HEADLINES.items():
        value = run.evaluation.figures[name]
        floors = [figures[name] for floor, figures in run.floors.items() if floor != "majority"]
        floor = _best(name, floors) if floors else None
        better = floor is None or _best(name, [value, floor]) == value
        found.append(Headline(title, value, floor, better))
    return found


def worst_mistakes(run: Run) -> list[Mistake]:
    """Return the wrong ratings the model was surest of, surest first."""
    scores, targets, names = run.evaluation.scores, run.evaluation.targets, run.dataset.labels
    confidences = _confidences(run)
    wrong = np.flatnonzero(scores.choices != targets)
    order = wrong[np.argsort(-confidences[wrong], kind="stable")][:MISTAKES]
    return [
        Mistake(
            text=_short(run.dataset.test.texts[row]),
            said=names[int(scores.choices[row])],
            true=names[int(targets[row])],
            confidence=float(confidences[row]),
        )
        for row in order
    ]


def grouped(values: npt.NDArray[np.float64], edges: Sequence[float], right: Bools, away: Any) -> list[Group]:
    """Return accuracy and mean error of the texts whose value is up to each edge, and of those over the last.

    Args:
        values: `float64[N]`, of each text.
        edges: upper edges, included.
        right: `bool[N]`.
        away: `float64[N]`, error in stars.
    """
    places = np.searchsorted(edges, values, side="left")
    found = []
    for place in range(len(edges) + 1):
        inside = places == place
        if inside.any():
            name = _edge_name(edges, place)
            found.append(Group(name, int(inside.sum()), float(right[inside].mean()), float(away[inside].mean())))
    return found


def _charts(run: Run) -> dict[str, str]:
    evaluation, dataset = run.evaluation, run.dataset
    scores, targets = evaluation.scores, evaluation.targets
    right = scores.choices == targets
    names = np.array(dataset.labels)
    away = np.abs(names[scores.choices] - names[targets]).astype(np.float64)
    sizes = np.array([len(row) for row in run.rows], dtype=np.int64)
    first_bucket = run.model.encoder.first_bucket
    unknown = np.array([np.mean((row == UNKNOWN_ID) | (row >= first_bucket)) for row in run.rows])
    confidences = _confidences(run)
    sides = {name: _shares(dataset.part(name).targets, len(names)) for name in charts.SIDES}
    rows = _coverage(run)
    best = [epoch for epoch in run.epochs if epoch.best][-1]
    return {
        "labels": charts.labels(sides, dataset.labels),
        "lengths": charts.lengths(sizes, run.model.encoder.settings.max_tokens),
        "curves": charts.curves(
            [epoch.number for epoch in run.epochs],
            [epoch.train_loss for epoch in run.epochs],
            [epoch.validation_loss for epoch in run.epochs],
            best.number,
        ),
        "confusion": charts.confusion(evaluation.confusion, dataset.labels),
        "reliability": charts.reliability(reliability(confidences, right)),
        "by_length": charts.groups(grouped(sizes.astype(np.float64), LENGTH_EDGES, right, away), "tokens in a review"),
        "by_unknown": charts.groups(grouped(unknown, UNKNOWN_EDGES, right, away), "share of words never learned"),
        "coverage": charts.coverage(*(np.array(column) for column in zip(*rows, strict=True))),
    }


def _coverage(run: Run) -> list[tuple[float, float, float]]:
    """Return (threshold, share of the reviews at least so sure, accuracy of those) for each threshold."""
    confidences = _confidences(run)
    right = run.evaluation.scores.choices == run.evaluation.targets
    found = []
    for threshold in THRESHOLDS:
        certain = confidences >= threshold
        accuracy = float(right[certain].mean()) if certain.any() else float("nan")
        found.append((float(threshold), float(certain.mean()), accuracy))
    return found


def _confidences(run: Run) -> npt.NDArray[np.float32]:
    """Return how sure the model is of each rating it says, `float32[N]`."""
    scores = run.evaluation.scores
    return scores.probabilities[np.arange(len(scores.choices)), scores.choices]


def _best(name: str, values: Sequence[float]) -> float:
    return min(values) if name in LOWER_IS_BETTER else max(values)


def _edge_name(edges: Sequence[float], place: int) -> str:
    names = [f"{edge:.0%}" if isinstance(edge, float) else str(edge) for edge in edges]
    if place == len(edges):
        return f"> {names[-1]}"
    whole = isinstance(edges[0], int)
    below = (str(int(edges[place - 1]) + 1) if whole else names[place - 1]) if place else ("1" if whole else "")
    return names[place] if below in {"", names[place]} else f"{below}\N{EN DASH}{names[place]}"


def _shares(targets: npt.NDArray[np.intp], count: int) -> list[float]:
    return [float(share) for share in np.bincount(targets, minlength=count) / max(len(targets), 1)]


def _short(text: str) -> str:
    found = " ".join(text.split())
    return found if len(found) <= MISTAKE_CHARACTERS else found[: MISTAKE_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
