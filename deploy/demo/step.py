"""A step of a demo that a person waits for: named when it begins, with a clock on a terminal.

Owns how it looks. Bars with a count are where the counting is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def step(console: Console, name: str) -> Iterator[None]:
    """Show what is waited for during the block; off a terminal, a line at its beginning."""
    if not console.is_terminal:
        console.print(name, highlight=False, markup=False, soft_wrap=True)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(name, total=None)
        yield
