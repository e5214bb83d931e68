"""One run of a replay: from where the last run was to the end, and the comparison with the live ratings.

Owns the order of it: model, group, plan, loop, report. What can not be had at the start ends the run with one line;
what goes away later is waited for, as in the worker. `replay_loop` is next on the path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import CollectorRegistry
from rich.console import Console

from worker.clock import SystemClock
from worker.errors import ExitCode, SettingsError
from worker.kafka.instance_id import Identity
from worker.kafka.offset_range import Point, Span
from worker.kafka.outgoing import AtLeastOnce
from worker.kafka.python.producer import ExactlyOnce
from worker.model.loading import load_classifier
from worker.ops.logs import configure_logs
from worker.ops.metrics import Metrics
from worker.ops.progress import LongRun
from worker.ops.signals import StopSignals
from worker.records import Partition
from worker.replay.delivery import ReplayDelivery
from worker.replay.diff import Diff
from worker.replay.group import ReplayGroup
from worker.replay.loop import Tools, make_pipeline, run_to_end
from worker.replay.plan import Plan, next_step
from worker.replay.report import Report, write_report
from worker.replay.source import BoundedSource
from worker.replay.store import ReplayStore
from worker.replay.write_live import LiveKeys
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery

_CLAIM_EVERY_S: Final = 1.0
_CLAIM_GRACE_S: Final = 10.0  # beyond the session of a member that died


@dataclass(frozen=True, slots=True)
class RerateOrder:
    """What to rate again, and how.

    Attributes:
        settings: the replay's own, made of the workers'.
        live_prefix: where the ratings are that the new ones are compared with.
        restart: begin again, whatever was done.
        report: where the JSON goes; `-` is standard output.
        live: the workers' settings, when the ratings go under their keys as well.
    """

    settings: WorkerSettings
    live_prefix: str
    start: Point
    end: Point
    restart: bool
    report: str | None
    live: WorkerSettings | None = None


def rerate(order: RerateOrder) -> ExitCode:
    """Run until the end, or until told to stop; the same command goes on from there.

    Returns:
        OK at the end, INTERRUPTED when stopped before it.

    Raises:
        WorkerError: a flag does not fit, no bundle, or a service that refuses.
    """
    settings = order.settings
    log = configure_logs(settings.log_level, settings.log_format)
    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    classifier = load_classifier(settings, metrics, clock)
    with StopSignals(settings.drain_deadline_s) as stop:
        tools = Tools(settings, clock, metrics, log, Console(stderr=True), stop)
        with _connected(tools) as (source, inner):
            store = ReplayStore(settings, metrics=metrics, clock=clock, topic_id=source.topic_id)
            begun = _begin(order, tools, store)
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
                    lambda: _tell(progress, plan, delivery, pipeline.health.reasons),
                )
                seconds = progress.seconds
    if not finished:
        done = plan.done(delivery.committed)
        _say(tools.console, f"stopped at {done} of {plan.offsets} offsets; the same command goes on from there")
        return ExitCode.INTERRUPTED
    report = Report(
        plan=plan,
        redis_prefix=settings.redis_prefix,
        live_prefix=order.live_prefix,
        outcomes=delivery.outcomes,
        reasons=delivery.reasons,
        seconds=seconds,
        diff=_compare(tools, store, plan, order.live_prefix),
    )
    write_report(report, order.report)
    if order.live is not None:
        _put_live(tools, store, plan, order.live)
    store.close()
    return ExitCode.OK


def _put_live(tools: Tools, store: ReplayStore, plan: Plan, settings: WorkerSettings) -> None:
    live = LiveKeys(settings, tools.metrics, tools.clock)
    with LongRun(tools.console, tools.clock, "writing", max(plan.offsets, 1), unit="ratings") as progress:
        counts = store.put_live(plan.version, live, lambda count: progress.update(count, "under the live keys"))
    live.close()
    where = settings.redis_prefix or "the live keys"
    said = (
        f"{counts['replayed']} replaced or the same, {counts['written']} new, {counts['stale']} kept: sent again since"
    )
    _say(tools.console, f"{where}: {said}")


def _compare(tools: Tools, store: ReplayStore, plan: Plan, live_prefix: str) -> Diff:
    # How many ratings there are, the walk tells only at its end; each is of an offset.
    with LongRun(tools.console, tools.clock, "comparing", max(plan.offsets, 1), unit="ratings") as progress:
        return store.compare(plan.version, live_prefix, lambda count: progress.update(count, "with the live ones"))


@contextmanager
def _connected(tools: Tools) -> Iterator[tuple[BoundedSource, Delivery]]:
    """Make the source and the delivery, which aborts what a crashed run left open; close both at the end."""
    settings = tools.settings
    source = BoundedSource(settings, metrics=tools.metrics, clock=tools.clock)
    try:
        identity = Identity(settings)  # held until the end: it is a lock
        delivery: Delivery
        if settings.delivery == "at_least_once":
            delivery = AtLeastOnce(settings, source)
        else:
            delivery = ExactlyOnce(settings, source, f"{settings.group_id}-{identity.name}", tools.log)
        try:
            yield source, delivery
        finally:
            delivery.close(settings.drain_deadline_s / 2)
    finally:
        source.close(settings.drain_deadline_s / 2)


def _begin(order: RerateOrder, tools: Tools, store: ReplayStore) -> tuple[Plan, dict[Partition, int]] | None:
    """Return the plan and where its partitions stand; None when stopped meanwhile."""
    settings = order.settings
    group = ReplayGroup(settings)
    try:
        group.partitions([settings.output_topic], "--topic-out")
        partitions = group.partitions(settings.input_topics, "WORKER_INPUT_TOPICS")
        plan = Plan(
            group=settings.group_id,
            version=settings.model_version or "",
            topic_out=settings.output_topic,
            start=str(order.start),
            end=str(order.end),
            spans=dict.fromkeys(partitions, Span(0, 0)),
        )
        kept, committed = store.load_plan(), group.committed(partitions)
        step = next_step(plan, kept, committed, restart=order.restart)
        if kept is not None and step == "go_on":
            plan = kept
            committed = {partition: committed[partition] for partition in plan.spans}
        else:
            plan = replace(plan, spans=group.spans(partitions, order.start, order.end))
            committed = {partition: span.start for partition, span in plan.spans.items()}
        if not _claim(tools, group, committed):
            return None
    finally:
        group.close()
    if step == "begin":
        store.forget_attempts()
    store.save_plan(plan)
    left = plan.offsets - plan.done(committed)
    _say(tools.console, f"{plan.version} in group {plan.group}: {left} of {plan.offsets} offsets to read")
    return plan, committed


def _claim(tools: Tools, group: ReplayGroup, offsets: Mapping[Partition, int]) -> bool:
    """Set the offsets once the group is empty: a run that crashed stays a member for a session. False when stopped."""
    settings = tools.settings
    until = tools.clock.monotonic() + settings.session_timeout_s + _CLAIM_GRACE_S
    told = False
    while not group.commit(offsets):
        if tools.clock.monotonic() > until:
            raise SettingsError(
                f"--group {settings.group_id}: somebody else reads with it; stop that, or name another group"
            )
        if not told:
            session = f"{settings.session_timeout_s:g} s"
            _say(tools.console, f"group {settings.group_id}: waiting for a former member's session ({session}) to end")
            told = True
        if tools.stop.wait(_CLAIM_EVERY_S):
            return False
    return True


def _tell(progress: LongRun, plan: Plan, delivery: ReplayDelivery, reasons: Mapping[str, str]) -> None:
    count = delivery.outcomes.total()
    waiting = "".join(f"; {part}: {reason}" for part, reason in reasons.items())
    progress.update(plan.done(delivery.committed), f"{count} records, {progress.rate(count):.0f}/s{waiting}")


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
