"""One worker process: makes the source, the delivery and the store, and runs the loop over them.

Owns the order of start and stop. Start: HTTP server, bundle, Kafka, Redis, loop. A service that is away is waited for
and `/readyz` says why; a wrong setting ends the process with one line. Stop: not ready, stop polling, settle the
batch in hand, commit, leave the group; a second signal ends the process at once. `worker.wiring` puts the loop and the
models together.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from worker.backoff import Backoff
from worker.clock import SystemClock
from worker.errors import ExitCode, ServiceError, TransientError
from worker.kafka.clients import make_delivery, make_source, watch_lag
from worker.kafka.group import GroupSource
from worker.kafka.instance_id import InstanceId
from worker.ops.health import Health
from worker.ops.health_metrics import HealthCollector
from worker.ops.http_server import serve_http, url_of
from worker.ops.logs import configure_logs, is_text
from worker.ops.metrics import Metrics
from worker.ops.scrapes import Scrapes
from worker.ops.signals import StopSignals
from worker.redis.poison_ledger import RedisPoisonLedger
from worker.redis.store import RedisStore
from worker.run.child_status import report_status
from worker.run.terminal import TerminalReport
from worker.settings import WorkerSettings
from worker.stream.pipeline import Pipeline
from worker.stream.ports import Classifier, Delivery
from worker.traces.start import start_traces
from worker.wiring import Process, calm_collector, start_models, wire_pipeline

_Service = TypeVar("_Service")
_LAST_SPANS_S: Final = 2.0  # a collector that is away does not hold up a stop


@dataclass(frozen=True, slots=True)
class _Run:
    process: Process
    stop: StopSignals
    identity: InstanceId  # holds the claim on this process's name; it ends with the object


def run_worker(settings: WorkerSettings) -> ExitCode:
    """Run one worker process until a signal stops it.

    Raises:
        WorkerError: a failure that waiting does not end; its exit code says which.
    """
    process, page, scrapes = _start(settings)
    report = TerminalReport(process, page) if is_text(settings.log_format) and settings.status_file is None else None
    with StopSignals(settings.drain_deadline_s, process.log) as stop:
        run = _Run(process, stop, InstanceId(settings))
        classifier = start_models(process, stop.event)
        process.health.up("model")
        pipeline = _connect(run, classifier)
        try:
            if pipeline is not None:  # None: stopped before the services answered; nothing was read
                _serve(run, pipeline)
        except ServiceError:
            scrapes.await_next(lambda: stop.asked)
            raise
    if report is not None:
        report.stop()
    return ExitCode.OK


def _start(settings: WorkerSettings) -> tuple[Process, str, Scrapes]:
    log = configure_logs(settings.log_level, settings.log_format)
    clock = SystemClock()
    registry = CollectorRegistry()
    health = Health(clock, stall_s=settings.max_poll_interval_s)
    scrapes = Scrapes(clock)
    if settings.status_file is None:
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        for own in (HealthCollector(health), scrapes):
            registry.register(own)
        port = serve_http(settings.http_host, settings.http_port, registry, health)
        page = url_of(settings.http_host, port)
        log(logging.INFO, "page_serving", url=page)
    else:
        page = ""
        report_status(settings.status_file, health)  # the supervisor has the HTTP server
    metrics = Metrics(registry)
    traces = start_traces(settings, "starstream-worker", metrics=metrics, log=log, clock=clock)
    return Process(settings, clock, log, metrics, health, traces), page, scrapes


def _connect(run: _Run, classifier: Classifier) -> Pipeline | None:
    """Return the loop with its services, waiting for each as long as it takes; None when stopped meanwhile."""
    process = run.process
    settings, metrics, clock = process.settings, process.metrics, process.clock
    # A static member that stops keeps its partitions until its session ends, so the operator has to ask for it.
    instance_id = run.identity.name if settings.instance_id else None
    source = _wait_for(
        run, "kafka", lambda: make_source(settings, instance_id=instance_id, metrics=metrics, clock=clock)
    )
    if source is None:
        return None
    watch_lag(settings, source, run.stop.event, clock=clock, metrics=metrics, health=process.health, log=process.log)
    transactional_id = f"{settings.group_id}-{run.identity.name}"
    made = _wait_for(
        run, "kafka", lambda: make_delivery(settings, source, transactional_id, log=process.log, clock=clock)
    )
    delivery = _wait_for(run, "kafka", lambda: _pinged(made)) if made else None
    redis = _wait_for(run, "redis", lambda: _store(process, source)) if delivery else None
    if delivery is None or redis is None:
        return None
    store, ledger = redis
    process.health.up("redis")
    return wire_pipeline(process, source=source, classifier=classifier, store=store, ledger=ledger, delivery=delivery)


def _pinged(delivery: Delivery) -> Delivery:
    delivery.ping()  # names a topic that is missing or forbidden now, not at the first review
    return delivery


def _store(process: Process, source: GroupSource) -> tuple[RedisStore, RedisPoisonLedger]:
    store = RedisStore(
        process.settings, metrics=process.metrics, clock=process.clock, topic_id=source.topic_id, log=process.log
    )
    store.ping()
    return store, RedisPoisonLedger(process.settings, metrics=process.metrics)


def _wait_for(run: _Run, part: str, connect: Callable[[], _Service]) -> _Service | None:
    """Return what `connect` returns, trying again while its service is away; None when stopped meanwhile."""
    health, backoff = run.process.health, Backoff()
    away: set[str] = set()
    while not run.stop.asked:
        health.beat()
        try:
            made = connect()
        except TransientError as error:
            if health.down(error.service, str(error)):
                run.process.log(logging.WARNING, "waiting", part=error.service, reason=str(error))
            away.add(error.service)
            run.stop.wait(backoff.next_s())
            gc.collect()  # clients that could not start hold file descriptors in reference cycles
        else:
            for service in away - {part}:
                health.up(service)  # such as a schema registry, which a delivery needs too
            return made
    return None


def _serve(run: _Run, pipeline: Pipeline) -> None:
    """Run the loop until a signal, then close its services inside the drain deadline."""
    process = run.process
    deadline_s = process.settings.drain_deadline_s

    def stop() -> None:
        process.health.down("process", "stopping")
        pipeline.stop()

    run.stop.then(stop)
    run.stop.before_exit(pipeline.undo_attempts)
    calm_collector()
    try:
        pipeline.run()
        process.log(logging.INFO, "drained")
    finally:
        process.health.down("process", "stopping")
        pipeline.delivery.close(deadline_s / 2)
        pipeline.source.close(deadline_s / 2)
        if process.traces is not None:
            process.traces.close(min(_LAST_SPANS_S, deadline_s / 4))
    process.log(logging.INFO, "stopped")
