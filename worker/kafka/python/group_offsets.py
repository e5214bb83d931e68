"""The group's offsets and the ends of its partitions, asked with kafka-python's admin client.

Owns that client. Another one than the consumer's, because `worker.kafka.group_lag` asks from a thread of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, OffsetSpec
from typing_extensions import override

from worker.errors import ServiceError
from worker.kafka.connection import connection_hint
from worker.kafka.group_lag import OffsetReader, Offsets
from worker.kafka.python.client import client_config, make_client, translated
from worker.records import Partition
from worker.settings import WorkerSettings


class PythonOffsetReader(OffsetReader):
    """Asks with one admin client, which is replaced after any error: it remembers a coordinator that has moved."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._admin: Any = None

    @override
    def read(self, partitions: Collection[Partition] | None) -> Mapping[Partition, Offsets]:
        try:
            if self._admin is None:
                with translated(connection_hint(self._settings)):
                    self._admin = make_client(KafkaAdminClient, client_config(self._settings))
            with translated("look up the group's lag"):
                return self._read(partitions)
        except ServiceError:
            self.close()
            raise

    @override
    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(kafka_errors.KafkaError):
                admin.close()

    def _read(self, partitions: Collection[Partition] | None) -> Mapping[Partition, Offsets]:
        group = self._settings.group_id
        asked = self._all() if partitions is None else [TopicPartition(*partition) for partition in partitions]
        if not asked:
            return {}
        committed = self._admin.list_group_offsets({group: asked})[group]
        begins, ends = (
            self._admin.list_partition_offsets(dict.fromkeys(asked, spec))
            for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
        )
        return {
            Partition(*at): Offsets(_committed(committed.get(at)), begins[at].offset, ends[at].offset) for at in asked
        }

    def _all(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in self._admin.describe_topics(self._settings.input_topics)
            for partition in topic["partitions"]
        ]


def _committed(found: Any) -> int | None:
    return None if found is None or found.offset < 0 else int(found.offset)
