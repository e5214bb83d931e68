"""The worker's own loop, run to an end.

Owns the wiring of a replay's Pipeline, and when it is done. The one difference from a live worker is set here: no
breaker, because dead letters are only counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from worker.clock import Clock
from worker.kafka.python.bounded_source import BoundedSource
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.ops.signals import StopSignals
from worker.redis.poison_ledger import RedisPoisonLedger
from worker.replay.delivery import ReplayDelivery
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

    def say(self, line: str) -> None:
        """Print a line to the console as it is, unwrapped."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def make_pipeline(
    tools: Tools, source: BoundedSource, classifier: Classifier, store: ReplayStore, delivery: ReplayDelivery
) -> Pipeline:
    """Wire the loop as `worker.run.app` does, from clients that are connected."""
    settings = tools.settings
    health = Health(tools.clock, stall_s=settings.max_poll_interval_s)
    for part in ("model", "redis"):
        health.up(part)
    return wire_pipeline(
        Process(settings, tools.clock, tools.log, tools.metrics, health),
        source=source,
        classifier=classifier,
        store=store,
        ledger=RedisPoisonLedger(settings, metrics=tools.metrics),
        delivery=delivery,
        breaker=Breaker(share=1.0, window_records=settings.breaker_window_records, consecutive=0),
    )


def run_to_end(pipeline: Pipeline, done: Callable[[], bool], tell: Callable[[], None]) -> bool:
    """Step until all records before the end are committed, or the pipeline is stopped; return whether they are.

    Args:
        pipeline: reads a source that ends.
        done: whether the source has reached its end; a batch that failed is rewound, so it has not.
        tell: called after each step.

    Raises:
        ServiceError: permanent or fenced; the next run reads again what was not committed.
    """
    while not pipeline.stopping:
        pipeline.step()
        tell()
        if pipeline.batcher.empty and done():
            return True
    pipeline.run()  # drains: commits the records that were gathered
    return done()
