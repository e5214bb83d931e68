"""What a person sees: phases with their seconds, a progress bar on a terminal and plain lines elsewhere, tables.

Owns the screen. Progress goes to stderr and results to stdout, so that results can be piped. Never decides anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from trainer.progress import Epoch


class Screen:
    """Progress and results of one command. A `progress.Watcher`."""

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
        """Time the block, and print its name and seconds when it is done."""
        started = monotonic()
        yield
        self.seconds[name] = round(monotonic() - started, 2)
        self.say(f"{name:<12} {self.seconds[name]:7.1f} s")

    @contextmanager
    def progress_bar(self) -> Iterator[None]:
        """Show a progress bar during the block; does nothing without a terminal."""
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
        """Advance the progress bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"epoch {epoch}", completed=batch, total=batches, loss=loss)

    def on_epoch(self, epoch: Epoch) -> None:
        """Print the epoch's losses, `*` when it is the best so far."""
        self.say(
            f"  epoch {epoch.number}: loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}, "
            f"accuracy {epoch.validation_accuracy:.4f}, {epoch.seconds:.1f} s{' *' if epoch.best else ''}"
        )

    def on_interrupt(self, kept: Epoch | None) -> None:
        """Print what Ctrl-C does."""
        if kept is None:
            self.say("interrupted before the first epoch; there is no model to keep")
        else:
            self.say(f"interrupted; continuing with the weights of epoch {kept.number} (Ctrl-C again to stop)")


def plain_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of strings."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _console(*, stderr: bool) -> Console:
    """Return a console; a pipe has no width, and rich's default of 80 columns breaks the tables."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console
