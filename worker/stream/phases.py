"""What the loop is doing, and for how many seconds of a batch.

Owns the phases' names at run time and the counter `loop_seconds`. `pipeline` marks each phase, one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from worker.clock import Clock
from worker.ops.metrics import Metrics


class Phases:
    """Times phases. Not thread-safe, except for reading `now`.

    Attributes:
        now: the phase that runs; empty between two.
        seconds: of the current batch, by phase.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.now = ""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._metrics = metrics
        self._clock = clock

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count the seconds of the block for this phase."""
        started, self.now = self._clock.monotonic(), phase
        try:
            yield
        finally:
            self.now = ""
            elapsed_s = self._clock.monotonic() - started
            self._metrics.phase_seconds.labels(phase).inc(elapsed_s)
            self.seconds[phase] += elapsed_s
