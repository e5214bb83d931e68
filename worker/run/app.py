"""The composition root: the only place that sees both the core and its adapters.

Owns the order of start and stop. Start: page, bundle, Kafka, Redis, loop; a service that is away is waited for in
the open (`/readyz` says why), a wrong setting ends the process with one line. Stop: not ready, stop polling, settle
what was gathered, commit, leave the group; a second signal leaves at once.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar
from uuid import uuid4

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from worker.backoff import Backoff
from worker.clock import Clock, SystemClock
from worker.errors import ExitCode, TransientError
from worker.kafka.clients import GroupSource, make_delivery, make_source
from worker.kafka.instance_id import Identity
from worker.ops.health import Health
from worker.ops.http_server import serve_pages
from worker.ops.logs import Log, configure_logs
from worker.ops.metrics import Metrics
from worker.redis.store import RedisStore
from worker.run.child_status import report_status
from worker.settings import WorkerSettings
from worker.stream.batcher import Batcher, Limits
from worker.stream.breaker import Breaker
from worker.stream.parse import Parser
from worker.stream.pipeline import Pipeline
from worker.stream.poison import Attempts
from worker.stream.ports import Classifier
from worker.wiring import Surroundings, start_models

_Made = TypeVar("_Made")


@dataclass(slots=True)
class _Process:
    """What the parts of one process share."""

    settings: WorkerSettings
    clock: Clock
    log: Log
    metrics: Metrics
    health: Health
    stop: threading.Event
    identity: Identity  # kept here: the claim ends with the object


def run_worker(settings: WorkerSettings) -> ExitCode:
    """Run one worker process until it is told to stop.

    Raises:
        WorkerError: what can not be waited out; its exit code says what.
    """
    process = _start(settings)
    around = Surroundings(settings, process.clock, process.log, process.metrics, process.health, process.stop)
    classifier = start_models(around)
    process.health.up("model")
    pipeline = _connect(process, classifier)
    if pipeline is None:
        return ExitCode.OK  # stopped before the services were there; nothing was read
    _serve(process, pipeline)
    return ExitCode.OK


def _start(settings: WorkerSettings) -> _Process:
    log = configure_logs(settings.log_level, settings.log_format)
    clock = SystemClock()
    registry = CollectorRegistry()
    health = Health(clock, stall_s=settings.max_poll_interval_s)
    if settings.status_file is None:
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        port = serve_pages(settings.http_host, settings.http_port, registry, health)
        log(logging.INFO, "page_serving", url=f"http://{settings.http_host}:{port}/metrics")
    else:
        report_status(settings.status_file, health)  # the supervisor serves the page
    process = _Process(settings, clock, log, Metrics(registry), health, threading.Event(), Identity(settings))
    _on_signals(process)
    return process


def _connect(process: _Process, classifier: Classifier) -> Pipeline | None:
    """Return the loop with its services, waiting for each as long as it takes; None when stopped meanwhile."""
    settings, metrics, clock = process.settings, process.metrics, process.clock
    identity = process.identity
    # A static member that stops keeps its partitions until the session ends, so that is asked for, not assumed.
    instance_id = identity.name if settings.instance_id else None
    source = _patiently(
        process, "kafka", lambda: make_source(settings, instance_id=instance_id, metrics=metrics, clock=clock)
    )
    if source is None:
        return None
    transactional_id = f"{settings.group_id}-{identity.name}"
    delivery = _patiently(process, "kafka", lambda: make_delivery(settings, source, transactional_id, process.log))
    store = _patiently(process, "redis", lambda: _store(process, source)) if delivery else None
    if delivery is None or store is None:
        return None
    process.health.up("redis")
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
        breaker=Breaker(
            share=settings.breaker_share,
            window_records=settings.breaker_window_records,
            consecutive=settings.breaker_consecutive,
        ),
        metrics=metrics,
        health=process.health,
        clock=clock,
        log=process.log,
        backoff=Backoff(),
    )


def _store(process: _Process, source: GroupSource) -> RedisStore:
    store = RedisStore(process.settings, metrics=process.metrics, clock=process.clock, topic_id=source.topic_id)
    store.ping()
    return store


def _patiently(process: _Process, part: str, make: Callable[[], _Made]) -> _Made | None:
    """Return what `make` makes, trying again while its service is away; None when stopped meanwhile."""
    backoff = Backoff()
    while not process.stop.is_set():
        process.health.beat()
        try:
            return make()
        except TransientError as error:
            if process.health.down(part, str(error)):
                process.log(logging.WARNING, "waiting", part=part, reason=str(error))
            process.stop.wait(backoff.next_s())
    return None


def _serve(process: _Process, pipeline: Pipeline) -> None:
    """Run the loop, then close everything inside the drain deadline."""
    threading.Thread(target=_stop_when_told, args=(process, pipeline), name="stop", daemon=True).start()
    deadline_s = process.settings.drain_deadline_s
    _calm_collector()
    try:
        pipeline.run()
        process.log(logging.INFO, "drained")
    finally:
        process.health.down("process", "stopping")
        pipeline.delivery.close(deadline_s / 2)
        pipeline.source.close(deadline_s / 2)
    process.log(logging.INFO, "stopped")


def _calm_collector() -> None:
    """Let Python's collector of cycles look seldom.

    The loop's objects form none, and looking for some in each batch of 2,000 costs as much as making its ratings.
    """
    gc.collect()
    gc.freeze()  # what the start has made lives as long as the process
    gc.set_threshold(20_000, 20, 20)


def _stop_when_told(process: _Process, pipeline: Pipeline) -> None:
    """Turn the stop event into the loop's end, and end the process when the drain takes too long."""
    process.stop.wait()
    process.health.down("process", "stopping")
    pipeline.stop()
    threading.Event().wait(process.settings.drain_deadline_s)
    process.log(logging.ERROR, "drain_deadline_passed", deadline_s=process.settings.drain_deadline_s)
    os._exit(ExitCode.DEADLINE)  # nothing is lost: what is not committed is redelivered


def _on_signals(process: _Process) -> None:
    def told(number: int, frame: FrameType | None) -> None:
        del frame
        if process.stop.is_set():
            os._exit(ExitCode.INTERRUPTED)
        process.log(logging.INFO, "stopping", signal=signal.Signals(number).name)
        process.stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
