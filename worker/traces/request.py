"""The trace of the request that is being answered, if it is sampled.

Owns where it is kept: a variable of the request's own task. `worker.rest.operations.Measured` begins and ends it; the
body's reader and the rating thread note their steps, and what is sent to Kafka goes on with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from worker.clock import Clock
from worker.stream.ports import Trace

TRACE: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)


@contextmanager
def step(name: str, clock: Clock) -> Iterator[None]:
    """Note the block as a step of the request's trace."""
    trace = TRACE.get()
    if trace is None:
        yield
        return
    started = clock.monotonic()
    try:
        yield
    finally:
        trace.step(name, started, clock.monotonic() - started)


def trace_headers() -> list[tuple[str, bytes]]:
    """Return the header by which the stream goes on with the request's trace; none when it is not sampled."""
    trace = TRACE.get()
    return [("traceparent", trace.traceparent.encode())] if trace is not None else []
