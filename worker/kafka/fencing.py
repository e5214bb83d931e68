"""Tells another process with this one's name from brokers that ended a transaction which took too long.

Owns that rule: both look the same to a producer. Two processes with one transactional id fence each other without end.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from worker.clock import Clock
from worker.errors import FencedError, ProducerFencedError, ServiceError
from worker.settings import WorkerSettings

_MOST: Final = 3
_WINDOW_S: Final = 600.0


class FencingWatch:
    """Counts how often this process's producers were fenced by something else than a time-out."""

    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        self._young_s = settings.transaction_timeout_s / 2
        self._clock = clock
        self._begun_at = 0.0
        self._fenced_at: deque[float] = deque(maxlen=_MOST)

    def begin(self) -> None:
        """Note that a transaction begins."""
        self._begun_at = self._clock.monotonic()

    def check(self, error: ServiceError) -> None:
        """Count an error that ended the transaction.

        Raises:
            FencedError: another process has this one's name.
        """
        now = self._clock.monotonic()
        if not isinstance(error, ProducerFencedError) or now - self._begun_at >= self._young_s:
            return  # suspended past the time-out, or the brokers are slow
        self._fenced_at.append(now)
        if len(self._fenced_at) == _MOST and now - self._fenced_at[0] < _WINDOW_S:
            raise FencedError(
                "kafka",
                f"fenced {_MOST} times: another process has this worker's name, and so its transactional id: give each "
                "a WORKER_INSTANCE_ID of its own, or leave it unset",
            ) from error
