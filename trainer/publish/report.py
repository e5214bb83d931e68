"""report.html: the results of a run on one self-contained page.

Owns the page and the choice of what it shows; `charts` draws. Every figure is of the served file on the test side.
Quotes review texts only in the list of worst mistakes, which `--no-texts` leaves out. The charts are inline SVG and
the page loads nothing, so the file can be mailed.
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
from schemas.personal.mask import Masker
from trainer.data.targets import class_shares, is_named, said
from trainer.evaluation.baselines import MAJORITY
from trainer.evaluation.groups import figures_by_group, scripts_of
from trainer.evaluation.metrics import LOWER_IS_BETTER, MEANINGS, best, calibration_noise, reliability
from trainer.evaluation.rules import compare_rules
from trainer.publish import charts
from trainer.publish.bundle import Run
from trainer.publish.charts import Group
from trainer.publish.words import MOST_WORDS, cloud, telling_words

HEADLINES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "average_precision": "average precision",
    "mae": "mean error",
    "qwk": "kappa",
    "ece": "ECE",
}
LENGTH_EDGES = (3, 6, 12, 25, 50, 100, 200)
UNKNOWN_EDGES = (0.0, 0.05, 0.1, 0.2, 0.4)
THRESHOLDS = np.linspace(0, 0.99, 100)
MISTAKES, MISTAKE_CHARACTERS = 15, 280

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure beside the best baseline's, and whether the model is at least as good."""

    title: str
    value: float
    baseline: float | None
    better: bool


@dataclass(frozen=True, slots=True)
class Mistake:
    """A test text with a wrong rating, and the confidence of that rating."""

    text: str
    predicted: int | str
    true: int | str
    confidence: float


def render(run: Run) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("trainer.publish").joinpath("report.html.j2").read_text(encoding="utf-8"))
    models = {f"this model ({run.parity.variant} TFLite)": run.evaluation.figures, **run.baselines}
    current = run.serving.contender
    if current is not None:
        models[f"serving until now: {current.version}"] = current.evaluation.figures
    meanings = MEANINGS[run.evaluation.task]
    labels, decision = run.dataset.labels, run.model.decision
    telling = {} if is_named(labels) or not run.settings.texts else telling_words(run.dataset.train, labels)
    ends = [*telling][:: max(len(telling) - 1, 1)]
    return template.render(
        run=run,
        current=current,
        models=models,
        best={name: best(name, [figures[name] for figures in models.values()]) for name in meanings},
        meanings=meanings,
        lower=LOWER_IS_BETTER,
        headlines=_headlines(run),
        rules=compare_rules(run.evaluation, run.model.decision),
        groups=figures_by_group(run.evaluation, run.dataset.test.groups, run.model.decision),
        scripts=_by_script(run),
        left_out={} if run.left_out is None else run.left_out.figures(decision),
        settings=run.settings.model_dump(
            mode="json", exclude={"data", "test_data", "unlabelled", "registry", "test_out"}
        ),
        charts=_charts(run),
        telling={label: [*words][:MOST_WORDS] for label, words in telling.items()},
        clouds=[cloud(telling[label], color) for label, color in zip(ends, (charts.WARM, charts.ACCENT), strict=False)],
        ends=ends,
        noise=calibration_noise(run.evaluation.scores.confidences),
        coverage=[row for row in _coverage(run)[30::10] if row[1] > 0],
        mistakes=_worst_mistakes(run) if run.settings.texts else None,
        variants=list(zip(run.parities, run.variant_tests, strict=True)),
    )


def _by_script(run: Run) -> dict[str, tuple[int, dict[str, float]]]:
    """Return the figures of each script with enough texts; empty when there is one."""
    found = figures_by_group(run.evaluation, scripts_of(run.dataset.test.texts), run.model.decision)
    return found if len(found) > 1 else {}


def _headlines(run: Run) -> list[Headline]:
    """Return the figures at the top of the page, each with the best value of any baseline that reads the text."""
    found = []
    for name, title in HEADLINES.items():
        if name not in run.evaluation.figures:
            continue
        value = run.evaluation.figures[name]
        values = [figures[name] for baseline, figures in run.baselines.items() if baseline != MAJORITY]
        baseline = best(name, values) if values else None
        better = baseline is None or best(name, [value, baseline]) == value
        found.append(Headline(title, value, baseline, better))
    return found


def _worst_mistakes(run: Run) -> list[Mistake]:
    """Return the wrong ratings with the highest confidence, highest first."""
    confidences = run.evaluation.scores.confidences
    wrong = np.flatnonzero(~run.evaluation.right)
    predicted = said(run.evaluation.scores.choices, run.dataset.labels)
    true = said(run.evaluation.targets, run.dataset.labels)
    masker = Masker(keep=run.settings.keep_personal_data)
    order = wrong[np.argsort(-confidences[wrong], kind="stable")][:MISTAKES]
    return [
        Mistake(
            text=_short(masker.mask(run.dataset.test.texts[row])),
            predicted=predicted[row] or "none",
            true=true[row] or "none",
            confidence=float(confidences[row]),
        )
        for row in order
    ]


def grouped(values: npt.NDArray[np.float64], edges: Sequence[float], right: Bools, away: Any) -> list[Group]:
    """Return the accuracy and mean error of the texts in each range of `values`; ranges without texts are left out.

    Args:
        values: `float64[N]`, of each text.
        edges: upper edges, inclusive; one more range has the values above the last.
        right: `bool[N]`, whether the rating is right.
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
    right, confidences = evaluation.right, evaluation.scores.confidences
    away = _errors(run)
    sizes = np.array([len(row) for row in run.rows], dtype=np.int64)
    first_bucket = run.model.encoder.first_bucket
    unknown = np.array([np.mean((row == UNKNOWN_ID) | (row >= first_bucket)) for row in run.rows])
    count = len(dataset.labels)
    sides = {name: class_shares(dataset.part(name).targets, count).tolist() for name in charts.SIDES}
    rows = _coverage(run)
    kept = [epoch for epoch in run.epochs if epoch.best][-1]
    return {
        "labels": charts.labels(sides, dataset.labels),
        "lengths": charts.lengths(sizes, run.model.encoder.settings.max_tokens),
        "curves": charts.curves(
            [epoch.number for epoch in run.epochs],
            [epoch.train_loss for epoch in run.epochs],
            [epoch.validation_loss for epoch in run.epochs],
            kept.number,
        ),
        "by_label": charts.confusion(evaluation.confusion, dataset.labels)
        if evaluation.confusion is not None
        else charts.label_figures(evaluation.classes),
        "reliability": charts.reliability(reliability(confidences, right)),
        "by_length": charts.groups(grouped(sizes.astype(np.float64), LENGTH_EDGES, right, away), "tokens in a review"),
        "by_unknown": charts.groups(grouped(unknown, UNKNOWN_EDGES, right, away), "share of unknown words"),
        "coverage": charts.coverage(*(np.array(column) for column in zip(*rows, strict=True))),
    }


def _coverage(run: Run) -> list[tuple[float, float, float]]:
    """Return (threshold, share of the reviews with at least this confidence, their accuracy) for each threshold."""
    confidences, right = run.evaluation.scores.confidences, run.evaluation.right
    found = []
    for threshold in THRESHOLDS:
        certain = confidences >= threshold
        accuracy = float(right[certain].mean()) if certain.any() else float("nan")
        found.append((float(threshold), float(certain.mean()), accuracy))
    return found


def _errors(run: Run) -> npt.NDArray[np.float64]:
    """Return the error of each test text, `float64[N]`: in stars, or how many labels are wrong."""
    choices, targets = run.evaluation.scores.choices, run.evaluation.targets
    if is_named(run.dataset.labels):
        return (choices != targets).sum(axis=1).astype(np.float64)  # type: ignore[no-any-return]
    stars = np.array(run.dataset.labels, dtype=np.float64)
    return np.abs(stars[choices] - stars[targets])


def _edge_name(edges: Sequence[float], place: int) -> str:
    names = [f"{edge:.0%}" if isinstance(edge, float) else str(edge) for edge in edges]
    if place == len(edges):
        return f"> {names[-1]}"
    whole = isinstance(edges[0], int)
    below = (str(int(edges[place - 1]) + 1) if whole else names[place - 1]) if place else ("1" if whole else "")
    return names[place] if below in {"", names[place]} else f"{below}\N{EN DASH}{names[place]}"


def _short(text: str) -> str:
    found = " ".join(text.split())
    return found if len(found) <= MISTAKE_CHARACTERS else found[: MISTAKE_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
