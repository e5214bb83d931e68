"""What a person sees: phases with their seconds, a progress bar on a terminal and plain lines elsewhere, tables.

Owns the screen. Progress goes to stderr, results to stdout, so that results can be piped. Never decides anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainer.evaluation.gate import Verdict
from trainer.evaluation.metrics import Evaluation

if TYPE_CHECKING:  # `fit` brings TensorFlow, which `evaluate` and `list` do without
    from trainer.network.fit import Epoch

FIGURES = ("accuracy", "macro_f1", "mae", "qwk", "within_one", "ece", "nll")
LOWER_IS_BETTER = frozenset({"mae", "ece", "nll"})


class Screen:
    """Progress and results of one command. A `fit.Watcher`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = _console(stderr=True)
        self._result = _console(stderr=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """Print a line of progress."""
        self._progress.print(line, markup=False, soft_wrap=True)

    def note(self, table: Table) -> None:
        """Print a table of progress."""
        self._progress.print(table)

    def result(self, table: Table | str) -> None:
        """Print a result."""
        if isinstance(table, str):
            self._result.print(table, markup=False, soft_wrap=True)
        else:
            self._result.print(table)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase and say so when it is done."""
        started = monotonic()
        yield
        self.seconds[name] = round(monotonic() - started, 2)
        self.say(f"{name:<12} {self.seconds[name]:7.1f} s")

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Show the bar, where there is a terminal, for the time of the block."""
        if not self._progress.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
        )
        with Progress(*columns, console=self._progress, transient=True) as bar:
            self._bar = bar
            self._task = bar.add_task("epoch 1", total=None, loss=float("nan"))
            try:
                yield
            finally:
                self._bar = None

    def on_batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"epoch {epoch}", completed=batch, total=batches, loss=loss)

    def on_epoch(self, epoch: Epoch) -> None:
        """Print the epoch."""
        self.say(
            f"  epoch {epoch.number}: loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}, "
            f"accuracy {epoch.validation_accuracy:.4f}, {epoch.seconds:.1f} s{' *' if epoch.best else ''}"
        )

    def on_interrupt(self, kept: Epoch | None) -> None:
        """Say what Ctrl-C does."""
        if kept is None:
            self.say("interrupted before the first epoch; nothing to keep")
        else:
            self.say(f"interrupted; going on with epoch {kept.number} (Ctrl-C again to stop)")


def _console(*, stderr: bool) -> Console:
    """Return a console; a pipe has no width, and rich's guess of 80 breaks tables."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console


def figures_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    """Return the figures of several models side by side, the best of each column in bold."""
    table = Table(title=title)
    table.add_column("model", no_wrap=True)
    best = {}
    for name in FIGURES:
        table.add_column(f"{name} {'↓' if name in LOWER_IS_BETTER else '↑'}", justify="right", no_wrap=True)
        values = [figures[name] for figures in rows.values()]
        best[name] = min(values) if name in LOWER_IS_BETTER else max(values)
    for model, figures in rows.items():
        cells = [_cell(figures[name], bold=figures[name] == best[name] and len(rows) > 1) for name in FIGURES]
        table.add_row(model, *cells)
    return table


def classes_table(evaluation: Evaluation) -> Table:
    """Return each label's precision, recall, F1 and support."""
    table = Table(title="by label")
    for name in ("label", "precision", "recall", "f1", "support"):
        table.add_column(name, justify="right")
    for label in evaluation.classes:
        shares = (label.precision, label.recall, label.f1)
        table.add_row(str(label.label), *(f"{share:.3f}" for share in shares), str(label.support))
    return table


def verdict_table(title: str, verdict: Verdict) -> Table:
    """Return what the gate looked at, the failing rows in bold."""
    table = Table("", "current", "new", "worse by", "allowed", "", title=title)
    for row in verdict.rows:
        said = "passes" if row.passed else "[bold]FAILS[/bold]"
        table.add_row(row.name, row.current, row.new, row.worse_by, row.allowed, said)
    return table


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of words."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _cell(value: float, *, bold: bool) -> str:
    return f"[bold]{value:.3f}[/bold]" if bold else f"{value:.3f}"
