"""The dead-letter breaker: a bad deploy upstream must not drain the topic into the dead letters.

Owns the rule. Asked before a batch is published, so the records that open it stay in the input topic. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from worker.records import Outcome, Rejected

_LEAST_RECORDS = 100  # a share of fewer says nothing


class Breaker:
    """Counts rejections among the last records.

    Args:
        share: opens when more than this share of the window is rejected; 1 never opens.
        window_records: how many of the last records count.
        consecutive: opens when this many in a row are rejected; 0 never opens.
    """

    def __init__(self, *, share: float, window_records: int, consecutive: int) -> None:
        self._share = share
        self._consecutive = consecutive
        self._window: deque[bool] = deque(maxlen=window_records)
        self._row = 0
        self._before = (self._window, self._row)

    def opens(self, outcomes: Sequence[Outcome]) -> str | None:
        """Count a batch that is about to be published; return why it must not be, or None."""
        self._before = (self._window.copy(), self._row)
        longest = 0
        for outcome in outcomes:
            rejected = isinstance(outcome, Rejected)
            self._window.append(rejected)
            self._row = self._row + 1 if rejected else 0
            longest = max(longest, self._row)
        if self._consecutive and longest >= self._consecutive:
            return f"{longest} records in a row cannot be rated (WORKER_BREAKER_CONSECUTIVE={self._consecutive})"
        seen, wrong = len(self._window), sum(self._window)
        if seen >= min(_LEAST_RECORDS, self._window.maxlen or _LEAST_RECORDS) and wrong > self._share * seen:
            return f"{wrong} of the last {seen} records cannot be rated (WORKER_BREAKER_SHARE={self._share})"
        return None

    def undo(self) -> None:
        """Take back the last batch: a service failed, and its records will be counted when they come again."""
        self._window, self._row = self._before
