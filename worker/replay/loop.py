"""The worker's own loop, run to an end instead of for ever.

Owns the wiring of a replay's Pipeline, and the question whether it is done. What may differ from a live worker is set
here: no breaker, because dead letters are only counted and would hold the run for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from rich.console import Console

from worker.backoff import Backoff
from worker.clock import Clock
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.ops.signals import StopSignals
from worker.replay.delivery import ReplayDelivery
from worker.replay.source import BoundedSource
from worker.replay.store import ReplayStore
from worker.settings import WorkerSettings
from worker.stream.batcher import Batcher, Limits
from worker.stream.breaker import Breaker
from worker.stream.parse import Parser
from worker.stream.pipeline import Pipeline
from worker.stream.poison import Attempts
from worker.stream.ports import Classifier


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
    settings, clock = tools.settings, tools.clock
    health = Health(clock, stall_s=settings.max_poll_interval_s)
    for part in ("model", "redis"):
        health.up(part)
    return Pipeline(
        source=source,
        batcher=Batcher(
            Limits(settings.batch_reviews, settings.batch_bytes, settings.batch_tokens, linger_s=settings.linger_s)
        ),
        parser=Parser(settings.input_format, settings.max_text_chars),
        classifier=classifier,
        store=store,
        delivery=delivery,
        attempts=Attempts(store, life=uuid4().hex, limit=settings.max_attempts),
        breaker=Breaker(share=1.0, window_records=settings.breaker_window_records, consecutive=0),
        metrics=tools.metrics,
        health=health,
        clock=clock,
        log=tools.log,
        backoff=Backoff(),
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
