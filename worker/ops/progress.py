"""The progress of a long command: a bar on a terminal, elsewhere a plain line every few seconds.

Owns the format and the interval of the lines. The caller counts, or waits for one answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from worker.clock import Clock

_LINE_EVERY_S: Final = 5.0
_WAITING_EVERY_S: Final = 2.0


class LongRun:
    """The progress of one run, of which `done` of `total` units were done before; a context manager.

    Without a total, as of a file that is read as it comes, it counts only.
    """

    def __init__(
        self, console: Console, clock: Clock, title: str, total: int | None, *, done: int = 0, unit: str = "offsets"
    ) -> None:
        self._console = console
        self._clock = clock
        self._title = title
        self._total = total
        self._unit = unit
        self._line_at = self._started_at = clock.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn() if total is not None else TextColumn("{task.completed:,} " + unit),
        )
        self._bar = Progress(
            *columns, TextColumn("{task.fields[note]}"), console=console, disable=not console.is_terminal
        )
        self._task = self._bar.add_task(title, total=total, completed=done, note="")

    @property
    def seconds(self) -> float:
        """How long this run has lasted."""
        return self._clock.monotonic() - self._started_at

    def rate(self, count: int) -> float:
        """Return units a second, when this run has done `count`."""
        return count / self.seconds if self.seconds > 0 else 0.0

    def update(self, done: int, note: str) -> None:
        """Show how many units are done, with a note."""
        self._bar.update(self._task, completed=done, note=note)
        now = self._clock.monotonic()
        if self._console.is_terminal or now - self._line_at < _LINE_EVERY_S:
            return
        self._line_at = now
        if self._total is None:
            count = f"{done} {self._unit}"
        else:
            count = f"{done}/{self._total} {self._unit} ({done / self._total if self._total else 1.0:.0%})"
        # Not the console's print, which would wrap the line at 80 columns in a log.
        print(f"{self._title}: {count}{', ' if note else ''}{note}", file=self._console.file, flush=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()


@contextmanager
def waiting(console: Console, what: str, *, line_every_s: float = _WAITING_EVERY_S) -> Iterator[None]:
    """Show that something is waited for: a clock on a terminal, elsewhere a line every `line_every_s`."""
    if console.is_terminal:
        with console.status(what):
            yield
        return
    over = threading.Event()

    def say() -> None:
        waited_s = line_every_s
        while not over.wait(line_every_s):
            print(f"{what}: no answer for {waited_s:.0f} s", file=console.file, flush=True)
            waited_s += line_every_s

    thread = threading.Thread(target=say, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
