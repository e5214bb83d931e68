"""The worker's own loop, run to an end instead of for ever.

Owns the wiring of a replay's Pipeline, and the question whether it is done. What may differ from a live worker is set
here: no breaker, because dead letters are only counted and would hold the run for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from worker.clock import Clock
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.ops.signals import StopSignals
from worker.replay.delivery import ReplayDelivery
from worker.replay.source import BoundedSource
from worker.replay.store import ReplayStore
from worker.settings import WorkerSettings
from worker.stream.breaker import Breaker
from worker.stream.pipeline import Pipeline
from worker.stream.ports import Classifier
from worker.wiring import Process, wire_pipeline


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps of a run share; `settings` are the replay's own."""

    settings: WorkerSettings
    clock: Clock
    metrics: Metrics
    log: Log
    console: Console
    stop: StopSignals


def make_pipeline(
    tools: Tools, source: BoundedSource, classifier: Classifier, store: ReplayStore, delivery: ReplayDelivery
) -> Pipeline:
    """Wire the loop as `worker.run.app` does, from parts that are connected already."""
    settings = tools.settings
    health = Health(tools.clock, stall_s=settings.max_poll_interval_s)
    for part in ("model", "redis"):
        health.up(part)
    return wire_pipeline(
        Process(settings, tools.clock, tools.log, tools.metrics, health),
        source=source,
        classifier=classifier,
        store=store,
        ledger=store,
        delivery=delivery,
        breaker=Breaker(share=1.0, window_records=settings.breaker_window_records, consecutive=0),
    )


def run_to_end(pipeline: Pipeline, done: Callable[[], bool], tell: Callable[[], None]) -> bool:
    """Step until everything up to the end is settled, or until the pipeline is stopped; return whether it is.

    Args:
        pipeline: reads a source that ends.
        done: whether the source stands at its end; a failed batch is rewound, and it does not.
        tell: called after each step.

    Raises:
        ServiceError: permanent or fenced; what is not committed is read again by the next run.
    """
    while not pipeline.stopping:
        pipeline.step()
        tell()
        if pipeline.batcher.empty and done():
            return True
    pipeline.run()  # settles what was gathered
    return done()
