"""The gate: may a channel move to this version?

Owns the limits and the arithmetic. Compares the version that a channel points at with a new one on the same held-out
texts, and refuses the new one when it is worse by more than a margin. Never publishes and never moves a channel:
`publish.channel` does, after it has called this.

A small test set shows differences that are chance, so a row may be worse by its margin or by `gate_noise` standard
errors of the difference, whichever is more. The errors are those of a paired bootstrap (Efron & Tibshirani 1993): the
same texts are drawn for both models, so texts that are hard for both do not count as noise. With two standard errors,
about one in forty rows of two equal models fails by chance; "allowed" also says how large a loss the gate cannot see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from time import thread_time

import numpy as np
import numpy.typing as npt

from schemas.inference import Model
from trainer.data.dataset import Part
from trainer.data.targets import Names
from trainer.evaluation.groups import FEWEST
from trainer.evaluation.label_metrics import by_name, choice_figures
from trainer.evaluation.metrics import (
    ECE_BINS,
    LOWER_IS_BETTER,
    Evaluation,
    calibration_noise,
    class_figures,
    figures_of,
)
from trainer.settings import GateSettings

DRAWS = 200  # of the bootstrap
MOST_NOISE = 8.0  # standard errors; the share of a normal distribution beyond more of them is nothing
SPEED_ROWS, SPEED_ROUNDS = 1000, 5  # texts a round; the fastest round of each model counts

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contender:
    """A version as the gate sees it."""

    version: str
    model: Model  # as it serves
    evaluation: Evaluation  # of the model on the held-out texts
    size_bytes: int  # of the TFLite file
    # The largest difference of a probability from Keras, and its limit; None: the manifest has neither.
    parity: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison of the gate, as text for people."""

    name: str
    current: str
    new: str
    worse_by: str
    allowed: str
    passed: bool

    @property
    def refusal(self) -> str:
        """The row as one phrase, for the history and the error message."""
        against = f" against {self.current}" if self.current else ""
        return f"{self.name}: {self.new}{against} ({self.worse_by}, allowed {self.allowed})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer: every row, and notes on how far the comparison can be trusted."""

    rows: list[Row]
    notes: list[str]

    @property
    def refusals(self) -> list[str]:
        """The failing rows as phrases; empty when the version passes."""
        return [row.refusal for row in self.rows if not row.passed]


def decide(
    new: Contender, current: Contender | None, part: Part, settings: GateSettings, notes: Sequence[str] = ()
) -> Verdict:
    """Compare a new version with the limits, and with the current version where there is one.

    Both are evaluated on the same held-out texts, with the same labels. The notes are the caller's, on the comparison.
    """
    rows = [*_parity(new), _calibration(new, settings), _size(new, current, settings)]
    if current is not None:
        compared = _compared(new.evaluation, current.evaluation, settings)
        groups = _worst_group(new.evaluation, current.evaluation, part.groups, settings)
        rows = [*compared, *groups, *rows, _speed(new, current, part.texts, settings)]
        agreement = None
        if new.evaluation.task == "stars":  # names cannot be turned round
            agreement = _agreement(new.evaluation, current.evaluation, settings)
            rows = [agreement, *rows]
        if agreement is not None and not agreement.passed:
            why = "does the file count 1 as the best, or name another column? --force if it is right"
            notes = [*notes, f"{current.version} contradicts the labels of these reviews: {why}"]
    return Verdict(rows, list(notes))


def other_labels(new: Names, current: Names) -> Verdict:
    """Return the refusal of a version whose labels are not those that readers of the channel expect."""
    row = Row("labels", _listed(current), _listed(new), "another set", "the same set", passed=False)
    note = "versions with different labels cannot be compared; nothing else was checked. Another channel serves both"
    return Verdict([row], [f"{note}: --channel NAME --new-channel"])


def _agreement(new: Evaluation, current: Evaluation, settings: GateSettings) -> Row:
    """Refuse labels that contradict the current version: a new one that learned stars turned round would win here.

    The current version's kappa may be low on other people's reviews; below chance, the labels mean something else.
    """
    labels = [label.label for label in new.classes if isinstance(label.label, int)]
    kappa = current.figures["qwk"]
    errors = _standard_errors(
        lambda weights: {"qwk": _star_figures(current, labels, weights)["qwk"]}, len(current.targets)
    )
    lowest = min(-settings.gate_noise * errors["qwk"], 0.0)
    passed = bool(kappa >= lowest)
    return Row(
        "agreement with the labels",
        f"{kappa:.3f}",
        f"{new.figures['qwk']:.3f}",
        "" if passed else "below chance",
        f"{lowest:.3f}",
        passed,
    )


def _compared(new: Evaluation, current: Evaluation, settings: GateSettings) -> list[Row]:
    ours, theirs = (_figures(side, np.ones(len(side.targets))) for side in (new, current))
    errors = _standard_errors(lambda weights: _differences(new, current, weights), len(new.targets))
    margins = {
        "accuracy": settings.gate_accuracy,
        "macro_f1": settings.gate_macro_f1,
        "micro_f1": settings.gate_macro_f1,
        "mae": settings.gate_mae,
        "qwk": settings.gate_qwk,
        "ece": settings.gate_ece,
    }
    supported = {f"f1 of {label.label}" for label in new.classes if label.support}
    rows = []
    for name, value in ours.items():
        if name not in margins and name not in supported:
            continue
        loss = value - theirs[name] if name in LOWER_IS_BETTER else theirs[name] - value
        allowed = max(margins.get(name, settings.gate_label_f1), settings.gate_noise * errors[name])
        passed = bool(loss <= allowed)
        rows.append(Row(name, f"{theirs[name]:.3f}", f"{value:.3f}", f"{loss:+.3f}", f"{allowed:.3f}", passed))
    return rows


def _worst_group(new: Evaluation, current: Evaluation, groups: Sequence[str], settings: GateSettings) -> list[Row]:
    """Limit the loss of accuracy in the group that loses most; no row when there is one group.

    Of many equal groups one loses by chance, so their number widens the noise (Bonferroni).
    """
    counts = Counter(groups)
    large = sorted(name for name, count in counts.items() if count >= FEWEST)
    if len(large) < 2:
        return []
    normal = NormalDist()
    noise = -normal.inv_cdf(normal.cdf(-min(settings.gate_noise, MOST_NOISE)) / len(large))
    names, rows = np.array(groups), []
    for name in large:
        inside = names == name
        ours, theirs = (side.right[inside].astype(np.float64) for side in (new, current))
        loss, error = float((theirs - ours).mean()), float((theirs - ours).std() / np.sqrt(inside.sum()))
        allowed = max(settings.gate_group_accuracy, noise * error if settings.gate_noise else 0.0)
        shown = (f"accuracy of {name or '(none)'}", f"{theirs.mean():.3f}", f"{ours.mean():.3f}")
        rows.append((loss - allowed, Row(*shown, f"{loss:+.3f}", f"{allowed:.3f}", loss <= allowed)))
    return [max(rows, key=lambda found: found[0])[1]]


def _figures(evaluation: Evaluation, weights: Table) -> dict[str, float]:
    """Return the figures when each text counts `weights` times, `float64[N]`."""
    names = [label.label for label in evaluation.classes]
    confidences = evaluation.scores.confidences.astype(np.float64)
    bins = np.minimum((confidences * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=weights * (confidences - evaluation.right), minlength=ECE_BINS)
    ece = float(np.abs(gaps).sum() / weights.sum())
    if evaluation.task == "labels":
        found, f1 = choice_figures(evaluation.scores.choices, evaluation.targets, weights)
        return {**found, "ece": ece, **by_name([str(name) for name in names], f1)}
    return {**_star_figures(evaluation, [name for name in names if isinstance(name, int)], weights), "ece": ece}


def _star_figures(evaluation: Evaluation, labels: Sequence[int], weights: Table) -> dict[str, float]:
    count, choices, targets = len(labels), evaluation.scores.choices, evaluation.targets
    counted = np.bincount(targets * count + choices, weights=weights, minlength=count * count)
    cells = counted.reshape(count, count).astype(np.float64)
    found = figures_of(cells, labels)
    by_label = {f"f1 of {label.label}": label.f1 for label in class_figures(cells.astype(np.int64), labels)}
    return {**{name: found[name] for name in ("accuracy", "macro_f1", "mae", "qwk")}, **by_label}


def _differences(new: Evaluation, current: Evaluation, weights: Table) -> dict[str, float]:
    theirs = _figures(current, weights)
    return {name: value - theirs[name] for name, value in _figures(new, weights).items()}


def _standard_errors(figures: Callable[[Table], dict[str, float]], rows: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        weights = np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float64)
        for name, value in figures(weights).items():
            drawn.setdefault(name, []).append(value)
    return {name: float(np.std(values)) for name, values in drawn.items()}


def _parity(new: Contender) -> list[Row]:
    if new.parity is None:
        return []
    error, limit = new.parity
    shown = f"{error:.1e}"
    return [Row("difference from Keras", "", shown, shown, f"{limit:.0e}", passed=bool(error <= limit))]


def _calibration(new: Contender, settings: GateSettings) -> Row:
    """Limit the calibration error beyond what a perfectly calibrated model would show on these texts."""
    noise = calibration_noise(new.evaluation.scores.confidences)
    error, limit = new.evaluation.figures["ece"], settings.gate_max_ece
    passed = bool(error - noise <= limit)
    return Row("ece over chance", "", f"{error:.3f}", f"{error - noise:+.3f}", f"{limit:.3f}", passed)


def _size(new: Contender, current: Contender | None, settings: GateSettings) -> Row:
    megabytes, limit = new.size_bytes / 1e6, settings.gate_max_mb
    before = "" if current is None else f"{current.size_bytes / 1e6:.2f}"
    return Row("size MB", before, f"{megabytes:.2f}", f"{megabytes:.2f}", f"{limit:g}", passed=megabytes <= limit)


def _speed(new: Contender, current: Contender, texts: Sequence[str], settings: GateSettings) -> Row:
    ours, theirs = _microseconds((new.model, current.model), texts)
    ratio, limit = ours / theirs, settings.gate_slower
    shown = f"{ratio:.2f} times"
    return Row("us a review", f"{theirs:.1f}", f"{ours:.1f}", shown, f"{limit:g} times", passed=ratio <= limit)


def _microseconds(models: Sequence[Model], texts: Sequence[str]) -> list[float]:
    """Return CPU microseconds a review of each model, from text to stars; the models take turns.

    CPU time, because the wall clock also measures whatever else the machine runs: by wall clock two versions came out
    2.1 times apart that were 0.8 times apart. A one-thread interpreter runs on the calling thread.
    """
    sample = list(texts[:SPEED_ROWS])
    best = [float("inf")] * len(models)
    for _ in range(SPEED_ROUNDS):
        for at, model in enumerate(models):
            started = thread_time()
            model.score(sample)
            best[at] = min(best[at], thread_time() - started)
    return [seconds / len(sample) * 1e6 for seconds in best]


def _listed(labels: Names) -> str:
    return ", ".join(map(str, labels))
