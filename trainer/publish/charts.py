"""The report's charts, as inline SVG.

Owns how they look. Each function takes numbers and returns an `<svg>` element; text stays text, in the page's font.
`report` puts them on the page.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from trainer.evaluation.metrics import ClassFigures

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

INK, FAINT, ACCENT, WARM = "#1f2933", "#9aa5b1", "#2563ab", "#c2571a"
SIDES = {"train": FAINT, "validation": ACCENT, "test": WARM}


class Group(NamedTuple):
    """Some of the test texts: their name and number, the share rated right, the mean error in stars."""

    name: str
    texts: int
    accuracy: float
    mae: float


def labels(shares: Mapping[str, Sequence[float]], names: Sequence[int | str]) -> str:
    """Draw the share of each label on each side of the split; names as rows, because they would collide."""
    if isinstance(names[0], str):
        figure, axes = _axes("share of the texts", "", high=_height(names))
        for side, found in shares.items():
            axes.plot(found, range(len(names)), "o", color=SIDES[side], label=side, markersize=4, alpha=0.8)
        return _named_rows(figure, axes, [str(name) for name in names])
    figure, axes = _axes("label", "share of the reviews")
    width = 0.8 / len(shares)
    at = np.arange(len(names))
    for number, (side, found) in enumerate(shares.items()):
        axes.bar(at + (number - (len(shares) - 1) / 2) * width, found, width * 0.92, color=SIDES[side], label=side)
    axes.set_xticks(at, names)
    axes.legend(frameon=False)
    return _svg(figure)


def lengths(found: Counts, longest: int) -> str:
    """Draw the length of the test texts in tokens, on a logarithmic scale."""
    figure, axes = _axes("tokens in a review", "reviews")
    edges = np.unique(np.round(np.geomspace(1, max(longest, 2), 28)))
    axes.hist(found, bins=edges, color=ACCENT, alpha=0.85)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    return _svg(figure)


def curves(numbers: Sequence[int], train: Sequence[float], validation: Sequence[float], kept: int) -> str:
    """Draw the loss by epoch."""
    figure, axes = _axes("epoch", "loss")
    axes.plot(numbers, train, "o--", color=FAINT, label="train (with dropout)")
    axes.plot(numbers, validation, "o-", color=ACCENT, label="validation")
    axes.axvline(kept, color=ACCENT, alpha=0.25, lw=6, label="kept")
    axes.set_xticks(numbers)
    axes.legend(frameon=False)
    return _svg(figure)


def label_figures(found: Sequence[ClassFigures]) -> str:
    """Draw the F1 of each label as a bar, and its average precision as a point; the best above."""
    ranked = sorted(found, key=lambda label: -label.f1)
    figure, axes = _axes("", "", high=_height(ranked))
    at = range(len(ranked))
    axes.barh(at, [label.f1 for label in ranked], 0.7, color=ACCENT, alpha=0.85, label="F1")
    areas = [label.average_precision or 0.0 for label in ranked]
    axes.plot(areas, at, "o", color=WARM, markersize=4, label="average precision")
    axes.set_xlim(0, 1)
    return _named_rows(figure, axes, [f"{label.label} ({label.support})" for label in ranked])


def confusion(table: Counts, names: Sequence[int | str]) -> str:
    """Draw the confusion matrix: counts, shaded by their share of the row."""
    figure, axes = _axes("predicted rating", "author's own stars")
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(table):
        color = "white" if shares[row, column] > 0.5 else INK
        axes.text(column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=color, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return _svg(figure)


def reliability(points: Sequence[tuple[float, float, float]]) -> str:
    """Draw accuracy by confidence; a point's size is its share of the reviews."""
    figure, axes = _axes("confidence", "accuracy")
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls="--")
    axes.plot([c for c, _, _ in points], [a for _, a, _ in points], color=ACCENT, alpha=0.4, lw=1)
    sizes = [20 + 900 * share for _, _, share in points]
    axes.scatter([c for c, _, _ in points], [a for _, a, _ in points], s=sizes, color=ACCENT, alpha=0.75, lw=0)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _svg(figure)


def groups(found: Sequence[Group], axis: str) -> str:
    """Draw the accuracy of groups of texts as bars, their mean error as a line."""
    figure, axes = _axes(axis, "accuracy")
    at = np.arange(len(found))
    axes.bar(at, [group.accuracy for group in found], 0.7, color=ACCENT, alpha=0.85)
    axes.set_ylim(0, 1.02)
    # The number of texts is below the name, where neither bars nor the line of the errors can cross it.
    axes.set_xticks(at, [f"{group.name}\n{group.texts}" for group in found])
    error = axes.twinx()
    error.plot(at, [group.mae for group in found], "o-", color=WARM)
    error.set_ylim(0, max(1.0, 1.15 * max((group.mae for group in found), default=1.0)))
    error.set_ylabel("mean error", color=WARM)
    error.spines[["top", "left"]].set_visible(False)
    return _svg(figure)


def coverage(thresholds: Floats, covered: Floats, accuracy: Floats) -> str:
    """Draw the effect of an abstain threshold: the share of reviews that stay certain, and the accuracy of those."""
    figure, axes = _axes("WORKER_MIN_CONFIDENCE", "share")
    axes.plot(thresholds, accuracy, color=ACCENT, label="accuracy of certain reviews")
    axes.plot(thresholds, covered, color=WARM, label="certain reviews")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.legend(frameon=False, loc="lower left")
    return _svg(figure)


def _height(rows: Sequence[object]) -> float:
    """Return the inches that a chart with so many named rows needs."""
    return max(3.5, 0.9 + 0.19 * len(rows))


def _named_rows(figure: Figure, axes: Any, names: Sequence[str]) -> str:
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="lower right")
    return _svg(figure)


def _axes(x: str, y: str, *, high: float = 3.5) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.0, high), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)
    axes.tick_params(colors=INK)
    return figure, axes


def _svg(figure: Figure) -> str:
    """Return the figure as an SVG element, without the XML prologue; the same numbers give the same characters."""
    found = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "starstream", "font.family": "sans-serif"}):
        figure.savefig(found, format="svg", metadata={"Date": None}, transparent=True)
    text = found.getvalue()
    return text[text.index("<svg") :]
