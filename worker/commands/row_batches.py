"""Rows in batches, by count and by time, so that the lines of a pipe are sent soon after they came.

Owns the waiting. A file is as quick as its reader; standard input is read by a thread, because nothing else can wait
for a line and for the clock.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from worker.clock import Clock
from worker.errors import WorkerError

WAIT_S: Final = 0.2  # from a batch's first row to its end
_AHEAD: Final = 2  # batches that are read before they are asked for

T = TypeVar("T")


def batches(rows: Iterator[T], at_once: int) -> Iterator[list[T]]:
    """Yield the rows, `at_once` at a time."""
    while batch := list(islice(rows, at_once)):
        yield batch


def live_batches(rows: Iterator[T], at_once: int, clock: Clock, stopped: Callable[[], bool]) -> Iterator[list[T]]:
    """Yield the rows as they come: at most `at_once`, and no row waits longer than `WAIT_S`. Ends when `stopped`.

    Raises:
        WorkerError: what reading raised, after the rows before it.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(_AHEAD * at_once)
    threading.Thread(target=_read, args=(rows, waiting), name="standard-input", daemon=True).start()
    batch: list[T] = []
    ends_at = 0.0
    while not stopped():
        try:
            row = waiting.get(timeout=max(0.0, ends_at - clock.monotonic()) if batch else WAIT_S)
        except queue.Empty:
            if batch:
                yield batch
                batch = []
            continue
        if isinstance(row, _End):
            break
        ends_at = ends_at if batch else clock.monotonic() + WAIT_S
        batch.append(row)
        if len(batch) == at_once:
            yield batch
            batch = []
    else:
        return
    if batch:
        yield batch
    if row.error is not None:
        raise row.error


class _End:
    """After the last row: the fault of the input that ended the reading, if any."""

    def __init__(self) -> None:
        self.error: WorkerError | None = None


def _read(rows: Iterator[T], waiting: queue.Queue[T | _End]) -> None:
    end = _End()
    try:
        for row in rows:
            waiting.put(row)
    except WorkerError as error:
        end.error = error
    waiting.put(end)
