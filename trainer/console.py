"""What a person sees: phases with their names and seconds, a progress bar on a terminal and lines elsewhere, tables.

Owns the screen. Progress goes to stderr and results to stdout, so that results can be piped. Never decides anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trainer.progress import Epoch

REPORT_EVERY_S = 30.0  # between lines of progress where there is no terminal


class Screen:
    """Progress and results of one command. A `progress.Watcher`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = _console(stderr=True)
        self._result = _console(stderr=False)
        self._bar: Progress | None = None
        self._phase = ""
        self._done = 0
        self._steps: int | None = None
        self._reported = 0.0

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
    def phase(self, name: str, steps: int | None = None) -> Iterator[None]:
        """Name the block when it begins, show a bar while it runs on a terminal, and print its seconds at the end.

        The bar counts the calls of `advance` up to `steps`; without steps it only shows that work goes on.
        """
        started = self._reported = monotonic()
        self._phase, self._done, self._steps = name, 0, steps
        if self._progress.is_terminal:
            columns = (
                TextColumn("{task.description:<12}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
            )
            with Progress(*columns, console=self._progress, transient=True) as bar:
                bar.add_task(name, total=steps, count="", note="")
                self._bar = bar
                try:
                    yield
                finally:
                    self._bar = None
        else:
            self.say(name)
            yield
        self.seconds[name] = round(monotonic() - started, 2)
        self.say(f"{name:<12} {self.seconds[name]:7.1f} s")

    def advance(self) -> None:
        """Count one more step of the phase."""
        self._done += 1
        self._show(self._done, self._steps, "")

    def on_batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Advance the progress bar."""
        self._show(batch, batches, f"epoch {epoch}, loss {loss:.4f}")

    def _show(self, done: int, total: int | None, note: str) -> None:
        count = f"{done}/{total}" if total else f"{done}"
        if self._bar is not None:
            self._bar.update(self._bar.tasks[0].id, completed=done, total=total, count=count, note=note)
        elif not self._progress.is_terminal and monotonic() - self._reported > REPORT_EVERY_S:
            self._reported = monotonic()
            self.say(f"  {self._phase} {count}{', ' if note else ''}{note}")

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
