"""SIGTERM and SIGINT for the commands that do long work: the first asks, the second ends the process at once.

Owns the handlers while its `with` block lasts. A drain that takes longer than the deadline ends the process, too:
what is not committed is done again by the next run.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from worker.errors import ExitCode


class StopSignals:
    """Whether somebody asked to stop.

    Args:
        deadline_s: longest time between the asking and the end of the process.
    """

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._asked = threading.Event()
        self._then: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._timer: threading.Timer | None = None

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self._asked.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Block for so long, or until asked to stop; return whether that is."""
        return self._asked.wait(timeout_s)

    def then(self, callback: Callable[[], None]) -> None:
        """Call this, too, when asked; at once when that has been."""
        self._then = callback
        if self.asked:
            callback()

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._told)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.asked:
            os._exit(ExitCode.INTERRUPTED)
        self._asked.set()
        self._timer = threading.Timer(self._deadline_s, os._exit, [ExitCode.DEADLINE])
        self._timer.daemon = True
        self._timer.start()
        if self._then is not None:
            self._then()
