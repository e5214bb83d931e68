"""What `--from` and `--to` come to now, asked of the brokers.

Owns the look-ups; `replay_bounds` the arithmetic. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import TopicPartition

from worker.errors import SettingsError
from worker.kafka.offset_range import Point, Span
from worker.kafka.python.client import translated
from worker.records import Partition


def find_partitions(consumer: Any, topics: Sequence[str], variable: str) -> list[Partition]:
    """Return the partitions of topics, in order.

    Raises:
        SettingsError: there is no such topic; names the variable that names it.
        ServiceError: the brokers do not answer.
    """
    found = []
    for topic in topics:
        with translated(f"{variable}={topic}: look for it"):
            numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise SettingsError(f"{variable}: {topic}: no such topic on the brokers")
        found += [Partition(topic, number) for number in sorted(numbers)]
    return found


def find_spans(consumer: Any, partitions: Sequence[Partition], start: Point, end: Point) -> dict[Partition, Span]:
    """Ask the brokers what two points come to now; a span that would end before it begins is empty.

    Raises:
        ServiceError: the brokers do not answer.
    """
    asked = [TopicPartition(*each) for each in partitions]
    with translated("look up offsets"):
        begins = consumer.beginning_offsets(asked)
        ends = consumer.end_offsets(asked)
        first_at = {point: _first_at(consumer, asked, point) for point in {start, end}}
    spans = {}
    for partition, each in zip(partitions, asked, strict=True):
        log = Span(begins[each], ends[each])
        begin = start.among(log, first_at[start][each])
        spans[partition] = Span(begin, max(begin, end.among(log, first_at[end][each])))
    return spans


def _first_at(consumer: Any, asked: Sequence[TopicPartition], point: Point) -> Mapping[TopicPartition, int | None]:
    if point.kind != "time":
        return dict.fromkeys(asked)
    found = consumer.offsets_for_times(dict.fromkeys(asked, point.value))
    return {each: None if found.get(each) is None else found[each].offset for each in asked}
