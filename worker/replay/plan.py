"""A replay's plan, and whether a run begins it, continues it, or is refused.

Owns those rules. Pure: `store` keeps the plan in Redis, with the ratings; the brokers keep the offsets (`group`). A run
needs both to continue: without the plan the end is unknown, and if Redis was emptied, the earlier ratings are gone too.
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
    """One replay. `start` and `end` are as the flags said; `spans` are the offsets they stood for when it began."""

    group: str
    version: str
    topic_out: str
    start: str
    end: str
    spans: Mapping[Partition, Span]

    @property
    def offsets(self) -> int:
        """How many offsets the replay reads."""
        return sum(span.size for span in self.spans.values())

    def done(self, positions: Mapping[Partition, int]) -> int:
        """Return how many offsets are done; a partition without a position is at its start."""
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
    """Read the text that `Plan.to_json` wrote.

    Raises:
        ValueError: it is not a plan.
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
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a plan: {error}") from error


def next_step(
    asked: Plan, stored: Plan | None, committed: Mapping[Partition, int], *, restart: bool
) -> Literal["begin", "continue"]:
    """Return whether this run begins the replay or continues it.

    Args:
        asked: the plan of this run's flags.
        stored: the plan that an earlier run stored under the same prefix.
        committed: the offsets of the group.
        restart: begin again, whatever an earlier run did.

    Raises:
        SettingsError: a flag does not fit the earlier run; the message names it.
    """
    if stored is not None and stored.version != asked.version:
        raise SettingsError(
            f"--redis-prefix: holds the ratings of {stored.version}, and those of {asked.version} would replace them; "
            "choose another prefix"
        )
    if restart:
        return "begin"
    if stored is None:
        if committed:
            raise SettingsError(
                f"--group {asked.group}: has offsets, but nothing under --redis-prefix says where to end: Redis was "
                f"emptied, or another program uses the group; {_RESTART}"
            )
        return "begin"
    for flag, mine, theirs in _flags(asked, stored):
        if mine != theirs:
            raise SettingsError(f"{flag} {mine}: this replay was begun with {theirs}; {_RESTART}")
    if any(partition not in committed for partition in stored.spans):
        raise SettingsError(
            f"--group {asked.group}: its committed offsets have expired (offsets.retention.minutes); {_RESTART}"
        )
    return "continue"


def _flags(asked: Plan, stored: Plan) -> list[tuple[str, str, str]]:
    return [
        ("--group", asked.group, stored.group),
        ("--topic-out", asked.topic_out, stored.topic_out),
        ("--from", asked.start, stored.start),
        ("--to", asked.end, stored.end),
        ("WORKER_INPUT_TOPICS", _topics(asked), _topics(stored)),
    ]


def _topics(plan: Plan) -> str:
    return ",".join(sorted({partition.topic for partition in plan.spans}))
