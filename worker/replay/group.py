"""Where a run of a replay begins: its plan, and the consumer group that only this run may use.

Owns the claim. Brokers refuse a commit from outside a group that has members, so setting the offsets where they are is
also the test that nobody else reads with the group. From then on the loop commits through its delivery.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

from worker.errors import SettingsError
from worker.kafka.offset_range import Point, Span
from worker.kafka.python.topics import Topics
from worker.records import Partition
from worker.redis.poison_ledger import RedisPoisonLedger
from worker.replay.loop import Tools
from worker.replay.plan import Plan, next_step
from worker.replay.store import ReplayStore

_CLAIM_EVERY_S: Final = 1.0
_CLAIM_GRACE_S: Final = 10.0  # beyond the session of a member that crashed


def begin(
    tools: Tools, store: ReplayStore, bounds: tuple[Point, Point], *, restart: bool
) -> tuple[Plan, dict[Partition, int]] | None:
    """Return the plan and the offset of each partition; None when stopped while waiting for the group.

    Raises:
        SettingsError: a flag does not fit an earlier run, a topic is missing, or the group has other members.
        ServiceError: Kafka or Redis does not answer.
    """
    settings = tools.settings
    start, end = bounds
    with closing(Topics(settings, tools.clock, group_id=settings.group_id)) as topics:
        topics.require([settings.output_topic], "--topic-out")
        partitions = topics.require(settings.input_topics, "WORKER_INPUT_TOPICS")
        plan = Plan(
            group=settings.group_id,
            version=settings.model_version or "",
            topic_out=settings.output_topic,
            start=str(start),
            end=str(end),
            spans=dict.fromkeys(partitions, Span(0, 0)),
        )
        stored, committed = store.load_plan(), topics.committed(partitions)
        step = next_step(plan, stored, committed, restart=restart)
        if stored is not None and step == "continue":
            plan = stored
            committed = {partition: committed[partition] for partition in plan.spans}
        else:
            plan = replace(plan, spans=topics.spans(partitions, start, end))
            committed = {partition: span.start for partition, span in plan.spans.items()}
        if not _claim(tools, topics, committed):
            return None
    if step == "begin":
        RedisPoisonLedger(settings, metrics=tools.metrics).clear()
    store.save_plan(plan)
    left = plan.offsets - plan.done(committed)
    tools.say(f"{plan.version} in group {plan.group}: {left} of {plan.offsets} offsets to read")
    return plan, committed


def _claim(tools: Tools, topics: Topics, offsets: Mapping[Partition, int]) -> bool:
    """Set the offsets once the group is empty; False when stopped before.

    A run that crashed remains a member until its session ends.
    """
    settings = tools.settings
    until = tools.clock.monotonic() + settings.session_timeout_s + _CLAIM_GRACE_S
    waiting = False
    while not topics.commit(offsets):
        if tools.clock.monotonic() > until:
            raise SettingsError(
                f"--group {settings.group_id}: another program reads with it; stop that, or name another group"
            )
        if not waiting:
            session = f"{settings.session_timeout_s:g} s"
            tools.say(f"group {settings.group_id}: waiting for a former member's session ({session}) to end")
            waiting = True
        if tools.stop.wait(_CLAIM_EVERY_S):
            return False
    return True
