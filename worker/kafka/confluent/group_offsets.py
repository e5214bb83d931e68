"""The group's offsets and the ends of its partitions, asked with librdkafka's admin client.

Owns that client. Another one than the consumer's, because `worker.kafka.group_lag` asks from a thread of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from typing_extensions import override

from worker.kafka.confluent.client import ANSWER_GRACE_S, CallbackErrors, translated
from worker.kafka.confluent.options import client_config
from worker.kafka.group_lag import OffsetReader, Offsets
from worker.records import Partition
from worker.settings import WorkerSettings

_SPECS: Final = (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]  # the client's are not typed


class ConfluentOffsetReader(OffsetReader):
    """Asks with one admin client."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._timeout_s = settings.request_timeout_s
        self._admin: Any = None

    @override
    def read(self, partitions: Collection[Partition] | None) -> Mapping[Partition, Offsets]:
        with translated("look up the group's lag"):
            if self._admin is None:
                self._admin = AdminClient(client_config(self._settings, CallbackErrors()))
            return self._read(self._all() if partitions is None else list(partitions))

    @override
    def close(self) -> None:
        self._admin = None

    def _read(self, partitions: Sequence[Partition]) -> Mapping[Partition, Offsets]:
        if not partitions:
            return {}
        group = self._settings.group_id
        asked = [TopicPartition(*partition) for partition in partitions]
        wanted = [ConsumerGroupTopicPartitions(group, asked)]
        group_answer = self._admin.list_consumer_group_offsets(wanted, request_timeout=self._timeout_s)[group]
        begins, ends = (
            self._admin.list_offsets(dict.fromkeys(asked, spec), request_timeout=self._timeout_s) for spec in _SPECS
        )
        wait_s = self._timeout_s + ANSWER_GRACE_S
        committed = {
            Partition(at.topic, at.partition): at.offset if at.offset >= 0 else None
            for at in group_answer.result(wait_s).topic_partitions
        }
        return {
            partition: Offsets(
                committed.get(partition), begins[at].result(wait_s).offset, ends[at].result(wait_s).offset
            )
            for partition, at in zip(partitions, asked, strict=True)
        }

    def _all(self) -> list[Partition]:
        return [
            Partition(topic, number)
            for topic in self._settings.input_topics
            for number in self._admin.list_topics(topic, timeout=self._timeout_s).topics[topic].partitions
        ]
