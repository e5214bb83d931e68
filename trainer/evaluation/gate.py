"""The gate: may a channel move to this version?

Owns the limits and the arithmetic. Compares what a channel points at with a new version on the same held-out texts,
and refuses when the new one is worse by more than a margin. Never publishes and never moves a channel; `publication`
and `promote` do, and ask here first.

A difference measured on few texts is mostly luck, so a row may be worse by its margin or by `gate_noise` standard
errors of the difference, whichever is more. The errors are those of a paired bootstrap (Efron & Tibshirani 1993): the
same texts drawn for both models, so what is hard for both does not count as noise. Two standard errors let about one
in forty rows of two equal models fail by luck; the width of a row says how much of a loss the gate could not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import thread_time

import numpy as np
import numpy.typing as npt

from schemas.inference import Model
from trainer.evaluation.metrics import ECE_BINS, Evaluation, calibration_noise, class_figures, figures_of
from trainer.settings import GateSettings

DRAWS = 200  # of the bootstrap
SPEED_ROWS, SPEED_ROUNDS = 1000, 5  # texts a round; the fastest round of each model counts
BIGGER_IS_WORSE = frozenset({"mae", "ece"})

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contender:
    """A version as the gate sees it.

    Attributes:
        version: its name.
        model: served.
        evaluation: of it on the held-out texts.
        size_bytes: of the TFLite file.
        parity: how far its probabilities were off from Keras, and how far they may be; None: not known any more.
    """

    version: str
    model: Model
    evaluation: Evaluation
    size_bytes: int
    parity: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One thing the gate looked at; the words are for people."""

    name: str
    current: str
    new: str
    worse_by: str
    allowed: str
    passed: bool

    @property
    def refusal(self) -> str:
        """Say what is wrong, for the history and the error."""
        was = f" against {self.current}" if self.current else ""
        return f"{self.name}: {self.new}{was} ({self.worse_by}, allowed {self.allowed})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says: every row, and what a reader should know of the comparison."""

    rows: list[Row]
    notes: list[str]

    @property
    def refusals(self) -> list[str]:
        """The failing rows in words, none when the version passes."""
        return [row.refusal for row in self.rows if not row.passed]


def judge(
    new: Contender, current: Contender | None, texts: Sequence[str], settings: GateSettings, notes: Sequence[str] = ()
) -> Verdict:
    """Hold a new version against the limits, and against the current one where there is one.

    Args:
        new: evaluated on `texts`.
        current: evaluated on the same, with the same labels; None: nothing to compare with.
        texts: the held-out texts.
        settings: the margins.
        notes: what the caller knows of the comparison.
    """
    rows = [*_parity(new), _calibration(new, settings), _size(new, current, settings)]
    if current is not None:
        rows = [*_compared(new.evaluation, current.evaluation, settings), *rows, _speed(new, current, texts, settings)]
    return Verdict(rows, list(notes))


def other_labels(new: Sequence[int], current: Sequence[int]) -> Verdict:
    """Return the refusal of a version that says other stars than those who read the channel expect."""
    row = Row("labels", _listed(current), _listed(new), "another set", "the same set", passed=False)
    return Verdict([row], ["versions with different labels cannot be compared; nothing else was looked at"])


def _compared(new: Evaluation, current: Evaluation, settings: GateSettings) -> list[Row]:
    labels = [label.label for label in new.classes]
    found = [_measured(each, labels) for each in (new, current)]
    errors = _standard_errors(new, current, labels)
    margins = {
        "accuracy": settings.gate_accuracy,
        "macro_f1": settings.gate_macro_f1,
        "mae": settings.gate_mae,
        "qwk": settings.gate_qwk,
        "ece": settings.gate_ece,
    }
    supported = {f"f1 of {label.label}" for label in new.classes if label.support}
    rows = []
    for name, value in found[0].items():
        if name not in margins and name not in supported:
            continue
        loss = value - found[1][name] if name in BIGGER_IS_WORSE else found[1][name] - value
        allowed = max(margins.get(name, settings.gate_label_f1), settings.gate_noise * errors[name])
        passed = bool(loss <= allowed)
        rows.append(Row(name, f"{found[1][name]:.3f}", f"{value:.3f}", f"{loss:+.3f}", f"{allowed:.3f}", passed))
    return rows


def _measured(evaluation: Evaluation, labels: Sequence[int]) -> dict[str, float]:
    return _figures(evaluation, labels, np.ones(len(evaluation.targets)))


def _figures(evaluation: Evaluation, labels: Sequence[int], weights: Table) -> dict[str, float]:
    """Return the figures on texts that count `weights` times each, `float64[N]`."""
    count, choices, targets = len(labels), evaluation.scores.choices, evaluation.targets
    counted = np.bincount(targets * count + choices, weights=weights, minlength=count * count)
    cells = counted.reshape(count, count).astype(np.float64)
    found = figures_of(cells, labels)
    sure = evaluation.scores.probabilities[np.arange(len(targets)), choices].astype(np.float64)
    bins = np.minimum((sure * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=weights * (sure - (choices == targets)), minlength=ECE_BINS)
    by_label = {f"f1 of {each.label}": each.f1 for each in class_figures(cells.astype(np.int64), labels)}
    kept = {name: found[name] for name in ("accuracy", "macro_f1", "mae", "qwk")}
    return {**kept, "ece": float(np.abs(gaps).sum() / weights.sum()), **by_label}


def _standard_errors(new: Evaluation, current: Evaluation, labels: Sequence[int]) -> dict[str, float]:
    random = np.random.default_rng(0)
    rows = len(new.targets)
    drawn: dict[str, list[float]] = {}
    for _ in range(DRAWS):
        weights = np.bincount(random.integers(0, rows, rows), minlength=rows).astype(np.float64)
        ours, theirs = (_figures(each, labels, weights) for each in (new, current))
        for name, value in ours.items():
            drawn.setdefault(name, []).append(value - theirs[name])
    return {name: float(np.std(values)) for name, values in drawn.items()}


def _parity(new: Contender) -> list[Row]:
    if new.parity is None:
        return []
    off, limit = new.parity
    return [Row("off from Keras", "", f"{off:.1e}", f"{off:.1e}", f"{limit:.0e}", passed=bool(off <= limit))]


def _calibration(new: Contender, settings: GateSettings) -> Row:
    """Hold the calibration error against a limit over what a perfectly calibrated model would show here."""
    scores = new.evaluation.scores
    sure = scores.probabilities[np.arange(len(scores.choices)), scores.choices]
    noise = calibration_noise(sure)
    over = new.evaluation.figures["ece"] - noise
    shown = f"{new.evaluation.figures['ece']:.3f}"
    limit = settings.gate_max_ece
    return Row("ece over chance", "", shown, f"{over:+.3f}", f"{limit:.3f}", passed=bool(over <= limit))


def _size(new: Contender, current: Contender | None, settings: GateSettings) -> Row:
    megabytes, limit = new.size_bytes / 1e6, settings.gate_max_mb
    was = "" if current is None else f"{current.size_bytes / 1e6:.2f}"
    return Row("size MB", was, f"{megabytes:.2f}", f"{megabytes:.2f}", f"{limit:g}", passed=megabytes <= limit)


def _speed(new: Contender, current: Contender, texts: Sequence[str], settings: GateSettings) -> Row:
    ours, theirs = pace((new.model, current.model), texts)
    times, limit = ours / theirs, settings.gate_slower
    shown = f"{times:.2f} times"
    return Row("us a review", f"{theirs:.1f}", f"{ours:.1f}", shown, f"{limit:g} times", passed=times <= limit)


def pace(models: Sequence[Model], texts: Sequence[str]) -> list[float]:
    """Return microseconds a review of each model, text to stars; the models take turns.

    Of the processor's time, for the wall clock of a shared machine says more of its neighbours: two versions a factor
    of 0.8 apart came out at 2.1 by it. An interpreter of one thread works on the thread that calls it.
    """
    sample = list(texts[:SPEED_ROWS])
    best = [float("inf")] * len(models)
    for _ in range(SPEED_ROUNDS):
        for at, model in enumerate(models):
            started = thread_time()
            model.score(sample)
            best[at] = min(best[at], thread_time() - started)
    return [seconds / len(sample) * 1e6 for seconds in best]


def _listed(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels))
