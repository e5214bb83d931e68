"""The offsets of a replay's consumer group, while nobody is in it.

Owns the claim: a replay may only begin or go on when the group has no members, which a commit without membership is
the brokers' own test for. The loop commits through its delivery; nothing here runs beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from worker.kafka.offset_range import Point, Span
from worker.kafka.python.client import client_config, translated
from worker.kafka.python.topics import find_partitions, find_spans
from worker.records import Partition
from worker.settings import WorkerSettings


class ReplayGroup:
    """Looks up and sets a group's offsets, and the bounds of topics.

    Args:
        settings: brokers, group, time-outs.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._timeout_ms = round(settings.request_timeout_s * 1000)
        with translated("connect"):
            self._consumer: Any = KafkaConsumer(
                **client_config(settings),
                group_id=settings.group_id,
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
            )

    def partitions(self, topics: Sequence[str], name: str) -> list[Partition]:
        """Return the partitions of topics; `name` is the flag or variable that names them.

        Raises:
            SettingsError: there is no such topic.
            ServiceError: the brokers do not answer.
        """
        return find_partitions(self._consumer, topics, name)

    def spans(self, partitions: Sequence[Partition], start: Point, end: Point) -> dict[Partition, Span]:
        """Return what two points come to now.

        Raises:
            ServiceError: the brokers do not answer.
        """
        return find_spans(self._consumer, partitions, start, end)

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return the committed offsets, without the partitions that have none. Waits for open transactions to end.

        Raises:
            ServiceError: the brokers do not answer.
        """
        with translated("read committed offsets"):
            found = {
                each: self._consumer.committed(TopicPartition(*each), timeout_ms=self._timeout_ms)
                for each in partitions
            }
        return {each: offset for each, offset in found.items() if offset is not None}

    def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Set the group's offsets; False when the group has members, and nothing was set.

        Raises:
            ServiceError: the brokers do not answer.
        """
        wanted = {TopicPartition(*each): OffsetAndMetadata(offset, "", -1) for each, offset in offsets.items()}
        with translated("set the group's offsets"):
            try:
                self._consumer.commit(wanted, timeout_ms=self._timeout_ms)
            except (kafka_errors.CommitFailedError, kafka_errors.RebalanceInProgressError):
                return False
        return True

    def close(self) -> None:
        """Give the client back."""
        with translated("close"):
            self._consumer.close(autocommit=False)
