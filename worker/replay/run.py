"""One run of a replay: from where the last run stopped to the end, then the comparison with the live ratings.

Owns the order: model, clients, group and plan, loop, report. A service that is missing at the start ends the run with
one line; one that fails later is waited for, as in the worker. `loop` is next on the path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from prometheus_client import CollectorRegistry
from rich.console import Console

from worker.clock import SystemClock
from worker.errors import ExitCode
from worker.kafka.clients import make_delivery
from worker.kafka.instance_id import InstanceId
from worker.kafka.offset_range import Point
from worker.kafka.python.bounded_source import BoundedSource
from worker.model.loading import load_classifier
from worker.ops.logs import configure_logs
from worker.ops.metrics import Metrics
from worker.ops.progress import LongRun
from worker.ops.signals import StopSignals
from worker.replay.delivery import ReplayDelivery
from worker.replay.diff import Diff
from worker.replay.group import begin
from worker.replay.loop import Tools, make_pipeline, run_to_end
from worker.replay.plan import Plan
from worker.replay.report import Report, write_report
from worker.replay.store import ReplayStore
from worker.replay.write_live import write_live
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery


def rerate(
    settings: WorkerSettings,
    live: WorkerSettings,
    bounds: tuple[Point, Point],
    *,
    restart: bool,
    report_to: str | None,
    copy_to_live: bool,
) -> ExitCode:
    """Run until the end, or until stopped; the same command continues from there.

    `settings` are the replay's own, `live` the workers', with whose ratings the new ones are compared. The other
    arguments are the flags of `worker.replay.command`.

    Returns:
        OK at the end, INTERRUPTED when stopped before it.

    Raises:
        WorkerError: a flag does not fit, there is no bundle, or a service refuses.
    """
    log = configure_logs(settings.log_level, settings.log_format)
    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    classifier = load_classifier(settings, metrics, clock)
    with StopSignals(settings.drain_deadline_s) as stop:
        tools = Tools(settings, clock, metrics, log, Console(stderr=True), stop)
        with _connected(tools) as (source, inner):
            store = ReplayStore(settings, metrics=metrics, clock=clock, topic_id=source.topic_id)
            begun = begin(tools, store, bounds, restart=restart)
            if begun is None:
                return ExitCode.INTERRUPTED
            plan, committed = begun
            source.until(plan.spans)
            delivery = ReplayDelivery(inner, committed)
            pipeline = make_pipeline(tools, source, classifier, store, delivery)
            stop.then(pipeline.stop)
            with LongRun(tools.console, clock, "rating", plan.offsets, done=plan.done(committed)) as progress:
                finished = run_to_end(
                    pipeline,
                    lambda: source.done,
                    lambda: _show(progress, plan, delivery, pipeline.health.reasons),
                )
                seconds = progress.seconds
    if not finished:
        done = plan.done(delivery.committed)
        tools.say(f"stopped at {done} of {plan.offsets} offsets; the same command continues from there")
        return ExitCode.INTERRUPTED
    report = Report(
        plan=plan,
        redis_prefix=settings.redis_prefix,
        live_prefix=live.redis_prefix,
        outcomes=delivery.outcomes,
        reasons=delivery.reasons,
        seconds=seconds,
        diff=_compare(tools, store, plan, live.redis_prefix),
    )
    write_report(report, report_to)
    if copy_to_live:
        write_live(tools, store, plan, live)
    store.close()
    return ExitCode.OK


def _compare(tools: Tools, store: ReplayStore, plan: Plan, live_prefix: str) -> Diff:
    # The number of ratings is known only at the end of the scan; there are at most as many as offsets.
    with LongRun(tools.console, tools.clock, "comparing", max(plan.offsets, 1), unit="ratings") as progress:
        return store.compare(plan.version, live_prefix, lambda count: progress.update(count, "with the live ones"))


@contextmanager
def _connected(tools: Tools) -> Iterator[tuple[BoundedSource, Delivery]]:
    """Make the source and the delivery, which aborts what a crashed run left open; close both at the end."""
    settings = tools.settings
    source = BoundedSource(settings, metrics=tools.metrics, clock=tools.clock)
    try:
        with closing(InstanceId(settings)) as identity:
            transactional_id = f"{settings.group_id}-{identity.name}"
            delivery = make_delivery(settings, source, transactional_id, log=tools.log, clock=tools.clock)
            try:
                yield source, delivery
            finally:
                delivery.close(settings.drain_deadline_s / 2)
    finally:
        source.close(settings.drain_deadline_s / 2)


def _show(progress: LongRun, plan: Plan, delivery: ReplayDelivery, reasons: Mapping[str, str]) -> None:
    count = delivery.outcomes.total()
    waiting = "".join(f"; {part}: {reason}" for part, reason in reasons.items())
    progress.update(plan.done(delivery.committed), f"{count} records, {progress.rate(count):.0f}/s{waiting}")
