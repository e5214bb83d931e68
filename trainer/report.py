"""report.html: what a run found, on one self-contained page.

Owns the plots and the page. States what was measured and on which texts; never quotes a review. Charts are inline SVG,
so the file can be mailed.
"""

from __future__ import annotations

import io
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from trainer.bundle import Run
from trainer.evaluate import reliability

FIGURES = {
    "accuracy": "share of ratings that are right",
    "macro_f1": "F1, every label weighed alike",
    "mae": "mean error in stars (lower is better)",
    "qwk": "quadratic kappa: agreement beyond chance, far misses weighed more",
    "within_one": "share at most one star away",
    "ece": "expected calibration error (lower is better)",
    "nll": "negative log likelihood (lower is better)",
}
_INK, _ACCENT = "#222222", "#2563ab"


def render(run: Run) -> str:
    """Return the page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("trainer").joinpath("report.html.j2").read_text(encoding="utf-8"))
    models = {f"this model ({run.parity.variant} TFLite)": run.evaluation.figures, **run.floors}
    return template.render(
        run=run,
        models=models,
        meanings=FIGURES,
        settings=run.settings.model_dump(mode="json", exclude={"data", "test_data", "registry", "test_out"}),
        curves=_svg(_curves(run)),
        confusion=_svg(_confusion(run)),
        reliability=_svg(_reliability(run)),
    )


def _curves(run: Run) -> Figure:
    figure, axes = _axes("epoch", "loss")
    numbers = [epoch.number for epoch in run.epochs]
    axes.plot(numbers, [epoch.train_loss for epoch in run.epochs], "o--", color=_INK, label="train")
    axes.plot(numbers, [epoch.validation_loss for epoch in run.epochs], "o-", color=_ACCENT, label="validation")
    best = [epoch for epoch in run.epochs if epoch.best][-1]
    axes.axvline(best.number, color=_ACCENT, alpha=0.3, label="kept")
    axes.set_xticks(numbers)
    axes.legend(frameon=False)
    return figure


def _confusion(run: Run) -> Figure:
    figure, axes = _axes("rating said", "true label")
    table = run.evaluation.confusion
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labels = run.dataset.labels
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    for (row, column), count in np.ndenumerate(table):
        color = "white" if shares[row, column] > 0.5 else _INK
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.spines[:].set_visible(False)
    return figure


def _reliability(run: Run) -> Figure:
    figure, axes = _axes("confidence", "share that is right")
    scores = run.evaluation.scores
    confidences = scores.probabilities[np.arange(len(scores.choices)), scores.choices]
    points = reliability(confidences, scores.choices == run.evaluation.targets)
    axes.plot([0, 1], [0, 1], color=_INK, alpha=0.3, label="perfect")
    sizes = [20 + 600 * share for _, _, share in points]
    axes.scatter([c for c, _, _ in points], [a for _, a, _ in points], s=sizes, color=_ACCENT, alpha=0.7, label="bins")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Return the figure as an SVG element, without the XML prologue."""
    found = io.StringIO()
    figure.savefig(found, format="svg", metadata={"Date": None}, transparent=True)
    text = found.getvalue()
    return text[text.index("<svg") :]
