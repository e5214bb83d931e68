"""What the loop is doing, and for how many seconds of a batch.

Owns the phases' names at run time and the counter `loop_seconds`. `pipeline` marks each phase, one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from worker.clock import Clock
from worker.errors import WorkerError
from worker.ops.metrics import Metrics
from worker.stream.ports import Trace


class Phases:
    """Times phases. Not thread-safe, except for reading `now`.

    Attributes:
        now: the phase that runs; empty between two.
        seconds: of the current batch, by phase.
        trace: of the current batch, if it is sampled.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.now = ""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.trace: Trace | None = None
        self._metrics = metrics
        self._clock = clock

    @property
    def exemplar(self) -> Mapping[str, str] | None:
        """What names the trace of the current batch in a metric."""
        return self.trace.exemplar if self.trace is not None else None

    def failed(self, error: WorkerError) -> None:
        """Note that the current batch failed."""
        if self.trace is not None:
            self.trace.failed(type(error).__name__, str(error))

    @contextmanager
    def timed(self, phase: str, step: str = "") -> Iterator[None]:
        """Count the seconds of the block for this phase; a trace calls it `step`, where that says more."""
        started, self.now = self._clock.monotonic(), phase
        error = None
        try:
            yield
        except WorkerError as raised:
            error = raised
            raise
        finally:
            self.now = ""
            elapsed_s = self._clock.monotonic() - started
            self._metrics.phase_seconds.labels(phase).inc(elapsed_s)
            self.seconds[phase] += elapsed_s
            if self.trace is not None:
                self.trace.step(step or phase, started, elapsed_s, error)

    @contextmanager
    def traced(self, trace: Trace | None) -> Iterator[None]:
        """Note the phases of the block in this trace, and end it."""
        self.trace = trace
        try:
            yield
        finally:
            self.trace = None
            if trace is not None:
                trace.end({})
