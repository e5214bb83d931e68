"""Writes that were begun before they are asked for: what is on its way, and for which rows.

Owns the thread that waits for the answers. Knows nothing of Redis: it is given what sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_Row = TypeVar("_Row")
_Send = Callable[[Sequence[list[Any]]], list[str]]


@dataclass(frozen=True, slots=True)
class Begun:
    """What is on its way of a batch: its first `count` rows."""

    count: int
    answers: Sequence[Future[list[str]]]

    def results(self) -> list[str]:
        """Wait for all answers and return them in order.

        Raises:
            Exception: what the first that failed has raised; none is on its way any more.
        """
        wait(self.answers)
        return [result for answer in self.answers for result in answer.result()]


class Ahead(Generic[_Row]):
    """Sends parts of a batch in order, one at a time. `send` and `taken` are for one thread, the loop's.

    Args:
        send: blocks until the answers are there. Called on a thread of its own.
    """

    def __init__(self, send: _Send) -> None:
        self._send = send
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._parts: list[tuple[Sequence[_Row], Future[list[str]]]] = []

    def send(self, rows: Sequence[_Row], calls: Sequence[list[Any]]) -> None:
        """Begin to send a part; what is sent behind one that failed fails with it, at once."""
        before = self._parts[-1][1] if self._parts else None

        def behind() -> list[str]:
            if before is not None and (failed := before.exception()) is not None:
                raise failed
            return self._send(calls)

        self._parts.append((rows, self._thread.submit(behind)))

    def taken(self, rows: Sequence[_Row]) -> Begun:
        """Return what is on its way of these rows, and forget it; of another batch, wait until it has arrived."""
        parts, self._parts = self._parts, []
        answers = [answer for _, answer in parts]
        sent = [row for part, _ in parts for row in part]
        if len(sent) <= len(rows) and all(a is b for a, b in zip(sent, rows, strict=False)):
            return Begun(len(sent), answers)
        wait(answers)
        return Begun(0, ())

    def close(self) -> None:
        """Give the thread back once it has the answer it waits for; what is behind that is not sent."""
        self._thread.shutdown(wait=False, cancel_futures=True)
