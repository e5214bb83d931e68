"""What a replay set out to do, and whether this run begins it, goes on with it, or must not touch it.

Owns the rules. Pure: the plan is kept by `replay_store` beside the ratings it leads to, the offsets by the brokers
(`replay_group`). Both must be there to go on: without the plan nobody knows where to end, and with Redis emptied the
ratings from before are gone as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from worker.errors import SettingsError
from worker.kafka.offset_range import Span
from worker.records import Partition

_RESTART = "--restart begins again"


@dataclass(frozen=True, slots=True)
class Plan:
    """One replay. `start` and `end` are as written; `spans` are what they came to when it began."""

    group: str
    version: str
    topic_out: str
    start: str
    end: str
    spans: Mapping[Partition, Span]

    @property
    def offsets(self) -> int:
        """How many offsets there are to read."""
        return sum(span.size for span in self.spans.values())

    def done(self, positions: Mapping[Partition, int]) -> int:
        """Return how many offsets are done when each partition stands where `positions` say, else at its start."""
        return sum(
            min(max(positions.get(partition, span.start), span.start), span.end) - span.start
            for partition, span in self.spans.items()
        )

    def to_json(self) -> str:
        """Return the plan as text; `plan_from_json` reads it back."""
        spans = [[*partition, *span] for partition, span in self.spans.items()]
        flags = {"group": self.group, "version": self.version, "topic_out": self.topic_out}
        return json.dumps({**flags, "from": self.start, "to": self.end, "spans": spans})


def plan_from_json(text: str | bytes) -> Plan:
    """Read what `Plan.to_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        fields = json.loads(text)
        spans = {Partition(topic, number): Span(start, end) for topic, number, start, end in fields["spans"]}
        return Plan(
            group=fields["group"],
            version=fields["version"],
            topic_out=fields["topic_out"],
            start=fields["from"],
            end=fields["to"],
            spans=spans,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a plan: {error}") from error


def next_step(
    asked: Plan, kept: Plan | None, committed: Mapping[Partition, int], *, restart: bool
) -> Literal["begin", "go_on"]:
    """Return what this run does.

    Args:
        asked: by this run's flags.
        kept: what an earlier run left under the same prefix.
        committed: the offsets of the group.
        restart: begin again whatever was done.

    Raises:
        SettingsError: naming the flag that does not fit what an earlier run left.
    """
    if kept is not None and kept.version != asked.version:
        raise SettingsError(
            f"--redis-prefix: holds the ratings of {kept.version}, which those of {asked.version} would replace one by "
            "one; give it a prefix of its own"
        )
    if restart:
        return "begin"
    if kept is None:
        if committed:
            raise SettingsError(
                f"--group {asked.group}: has offsets, but nothing under --redis-prefix says where to end: Redis was "
                f"emptied, or the group is another's; {_RESTART}"
            )
        return "begin"
    for flag, mine, theirs in _flags(asked, kept):
        if mine != theirs:
            raise SettingsError(f"{flag} {mine}: this replay was begun with {theirs}; {_RESTART}")
    if any(partition not in committed for partition in kept.spans):
        raise SettingsError(
            f"--group {asked.group}: the brokers have forgotten how far it was (offsets.retention.minutes); {_RESTART}"
        )
    return "go_on"


def _flags(asked: Plan, kept: Plan) -> list[tuple[str, str, str]]:
    return [
        ("--group", asked.group, kept.group),
        ("--topic-out", asked.topic_out, kept.topic_out),
        ("--from", asked.start, kept.start),
        ("--to", asked.end, kept.end),
        ("WORKER_INPUT_TOPICS", _topics(asked), _topics(kept)),
    ]


def _topics(plan: Plan) -> str:
    return ",".join(sorted({partition.topic for partition in plan.spans}))
