"""The scrapes of a process's metrics: when they come, and a wait for the next one.

A process that ends because a service refuses it takes the counter of that error with it: unless it is scraped once
more, no alert sees the error. So it waits for the scrape that is due, if anybody scrapes it at all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from worker.clock import Clock

_LONGEST_S: Final = 60.0
_LEAVES_S: Final = 0.5  # the page is collected before it is sent
_CHECK_S: Final = 0.2


class Scrapes(Collector):
    """Notes each scrape of the registry in which it is registered; has no metric of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: deque[float] = deque(maxlen=2)
        self._came = threading.Event()

    @override
    def collect(self) -> Iterable[Metric]:
        """Note a scrape."""
        self._last.append(self._clock.monotonic())
        self._came.set()
        return ()

    def await_next(self, stopped: Callable[[], bool]) -> bool:
        """Wait for twice the usual interval, or until stopped; return whether a scrape came."""
        if len(self._last) < 2:
            return False
        before, last = self._last
        until = last + min(_LONGEST_S, 2 * (last - before) + _CHECK_S)
        self._came.clear()
        while not stopped() and self._clock.monotonic() < until:
            if self._came.wait(_CHECK_S):
                self._clock.sleep(_LEAVES_S)
                return True
        return False
