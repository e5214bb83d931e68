"""The group's offsets and the ends of its partitions, asked with a consumer that never joins the group.

Owns that consumer. Another one than the source's, because `worker.kafka.group_lag` asks from a thread of its own. Not
an admin client: librdkafka 2.16 aborts the process when a broker goes away while its `list_offsets` waits (assertion
`eonce->refcnt > 0`; chaos `broker_crash`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from typing_extensions import override

from worker.errors import ServiceError, TransientError
from worker.kafka.confluent.client import CallbackErrors, raise_first_error, translated
from worker.kafka.confluent.options import client_config
from worker.kafka.group_lag import OffsetReader, Offsets
from worker.records import Partition
from worker.settings import WorkerSettings


class ConfluentOffsetReader(OffsetReader):
    """Asks with one consumer, which is replaced after any error: it learns of a new leader only for what it reads."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._timeout_s = settings.request_timeout_s
        self._consumer: Any = None

    @override
    def read(self, partitions: Collection[Partition] | None) -> Mapping[Partition, Offsets]:
        try:
            with translated("look up the group's lag"):
                if self._consumer is None:
                    config = client_config(self._settings, CallbackErrors())
                    # The ends count records of open transactions, and no open transaction blocks the answer.
                    more = {"group.id": self._settings.group_id, "isolation.level": "read_uncommitted"}
                    self._consumer = Consumer({**config, **more, "enable.auto.commit": False})
                self._consumer.consume(1, 0)  # lets the client renew its token
                return self._read(self._all() if partitions is None else partitions)
        except ServiceError:
            self.close()
            raise

    @override
    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _read(self, partitions: Collection[Partition]) -> Mapping[Partition, Offsets]:
        if not partitions:
            return {}
        committed = self._consumer.committed([TopicPartition(*at) for at in partitions], timeout=self._timeout_s)
        raise_first_error(committed)
        return {
            Partition(at.topic, at.partition): Offsets(at.offset if at.offset >= 0 else None, *self._ends(at))
            for at in committed
        }

    def _ends(self, at: TopicPartition) -> tuple[int, int]:
        found: tuple[int, int] | None = self._consumer.get_watermark_offsets(
            TopicPartition(at.topic, at.partition), timeout=self._timeout_s
        )
        if found is None:
            raise TransientError("kafka", f"{at.topic}-{at.partition}: no answer in {self._timeout_s:g} s")
        return found

    def _all(self) -> list[Partition]:
        return [
            Partition(topic, number)
            for topic in self._settings.input_topics
            for number in self._consumer.list_topics(topic, timeout=self._timeout_s).topics[topic].partitions
        ]
