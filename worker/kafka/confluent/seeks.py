"""Where librdkafka's consumer is to read next, other than where it is.

Owns the seeks that are due. `source` says what was not committed, `topic_ids` which topic was created again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from worker.kafka.confluent.client import raise_first_error, translated
from worker.kafka.confluent.lag import LagTracker
from worker.kafka.group import Ownership
from worker.records import Partition
from worker.settings import WorkerSettings


class Seeks:
    """The seeks to carry out before anything else is read. Not thread-safe: one a source."""

    def __init__(self, settings: WorkerSettings, ownership: Ownership, lag: LagTracker) -> None:
        self._settings = settings
        self._ownership = ownership
        self._lag = lag
        self._rewinds: dict[Partition, int] = {}
        self._restarts: set[Partition] = set()

    def rewind(self, partition: Partition, offset: int) -> None:
        """Read a partition again from this offset, or from the committed one if that is higher."""
        self._rewinds[partition] = min(offset, self._rewinds.get(partition, offset))
        self._lag.drop_ends([partition])

    def restart(self, topic: str) -> None:
        """Read a topic that was created again from its beginning, unless `auto_offset_reset` starts at the end."""
        if self._settings.auto_offset_reset == "earliest":
            self._restarts |= {partition for partition in self._ownership.owned if partition.topic == topic}

    def forget(self, removed: Collection[Partition]) -> None:
        """Forget partitions that this member has lost."""
        self._rewinds = {partition: offset for partition, offset in self._rewinds.items() if partition not in removed}
        self._restarts.difference_update(removed)

    def carry_out(self, consumer: Any) -> None:
        """Seek.

        Raises:
            ServiceError: some are left; the next call continues with them.
        """
        for partition in tuple(self._restarts):
            with translated("seek"):
                consumer.seek(TopicPartition(*partition, OFFSET_BEGINNING))
            self._lag.drop([partition])
            self._ownership.reads.drop([partition])
            self._rewinds.pop(partition, None)
            self._restarts.discard(partition)
        if not self._rewinds:
            return
        with translated("read committed offsets"):
            committed = self._committed(consumer)
            for partition, offset in tuple(self._rewinds.items()):
                target = max(offset, committed.get(partition, offset))
                consumer.seek(TopicPartition(*partition, target))
                self._lag.sought(partition, target)
                self._ownership.reads.sought({partition: target})
                del self._rewinds[partition]

    def _committed(self, consumer: Any) -> dict[Partition, int]:
        """Return the committed offsets of the partitions to rewind, once no open transaction includes them."""
        wanted = [TopicPartition(*partition) for partition in self._rewinds]
        found = consumer.committed(wanted, timeout=self._settings.request_timeout_s)
        raise_first_error(found)
        return {Partition(at.topic, at.partition): at.offset for at in found}
