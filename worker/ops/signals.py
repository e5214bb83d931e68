"""SIGTERM and SIGINT: the first asks the process to stop, the second ends it at once.

Owns the handlers while its `with` block lasts, and the deadline of the stop: a drain that takes longer ends the
process, and whatever it had not committed is read again by its successor. Before either end, one callback may leave
word that the process ended on purpose.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

from worker.errors import ExitCode
from worker.ops.logs import Log

_LAST_WORDS_S: Final = 1.0


class StopSignals:
    """Whether the process was asked to stop.

    Args:
        deadline_s: longest time from the first signal to the end of the process.
        log: receives `stopping` and `drain_deadline_passed`; None logs neither.

    Attributes:
        event: set by the first signal, for threads that wait on it.
    """

    def __init__(self, deadline_s: float, log: Log | None = None) -> None:
        self.event = threading.Event()
        self._deadline_s = deadline_s
        self._log = log
        self._callback: Callable[[], None] | None = None
        self._last_words: Callable[[], None] | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._timer: threading.Timer | None = None

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self.event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Block until asked to stop, or for `timeout_s`; return whether to stop."""
        return self.event.wait(timeout_s)

    def then(self, callback: Callable[[], None]) -> None:
        """Call `callback` from the handler of the first signal, or now if that signal has come."""
        self._callback = callback
        if self.asked:
            callback()

    def before_exit(self, callback: Callable[[], None]) -> None:
        """Call `callback`, from a thread of its own and for a second at most, before this ends the process."""
        self._last_words = callback

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.asked:
            self._exit(ExitCode.INTERRUPTED)
        if self._log is not None:
            self._log(logging.INFO, "stopping", signal=signal.Signals(number).name)
        self.event.set()
        self._timer = threading.Timer(self._deadline_s, self._on_deadline)
        self._timer.daemon = True
        self._timer.start()
        if self._callback is not None:
            self._callback()

    def _on_deadline(self) -> None:
        if self._log is not None:
            self._log(logging.ERROR, "drain_deadline_passed", deadline_s=self._deadline_s)
        self._exit(ExitCode.DEADLINE)

    def _exit(self, code: ExitCode) -> None:
        if self._last_words is not None:
            # Not on this thread: the loop that a signal interrupts may hold a lock that the callback needs.
            thread = threading.Thread(target=self._last_words, name="last-words", daemon=True)
            thread.start()
            thread.join(_LAST_WORDS_S)
        os._exit(code)


@contextmanager
def ends_on_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that it cleans up after itself.

    Raises:
        KeyboardInterrupt: one came.
    """
    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]  # nohup
    previous = {number: signal.signal(number, _interrupt) for number in ends}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
