"""A KafkaSource that stops at given offsets: a replay's Source.

Owns the end of each partition. Membership, positions and rewinding are KafkaSource's; a partition that has reached its
end is paused, so that newer records are not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka import TopicPartition
from typing_extensions import override

from worker.clock import Clock
from worker.kafka.offset_range import Span
from worker.kafka.python.client import translated
from worker.kafka.python.source import KafkaSource
from worker.ops.metrics import Metrics
from worker.records import Partition, Record, partition_of
from worker.settings import WorkerSettings


class BoundedSource(KafkaSource):
    """A member of the replay's group that reads up to the given ends. One thread only.

    Partitions without an end (the topic has grown since) are not read.
    """

    def __init__(self, settings: WorkerSettings, *, metrics: Metrics, clock: Clock) -> None:
        # Not a static member: one that stops leaves the group at once, so the next run need not wait for its session.
        super().__init__(settings, instance_id=None, metrics=metrics, clock=clock)
        self._ends: Mapping[Partition, int] = {}

    def until(self, spans: Mapping[Partition, Span]) -> None:
        """Set the ends; call it before the first poll."""
        self._ends = {partition: span.end for partition, span in spans.items()}

    @override
    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        owned = self._owned()
        ended = {partition for partition in owned if self._at_end(partition)}
        self._progress.drop(ended)  # paused on purpose: not stalled
        self._consumer.pause(*(TopicPartition(*partition) for partition in ended))
        # A rewind puts a partition back before its end.
        self._consumer.resume(*(TopicPartition(*partition) for partition in owned - ended))
        records = super().poll(max_records, timeout_s)
        return [record for record in records if record.offset < self._ends.get(partition_of(record), 0)]

    def offsets_past_markers(self) -> Mapping[Partition, int]:
        """Return nothing: positions may lie past the end, and nobody watches a replay's lag."""
        return {}

    @property
    def done(self) -> bool:
        """Whether every partition of this member has reached its end; False while it has none.

        Raises:
            ServiceError: the client gave up.
        """
        owned = self._owned()
        return bool(owned) and all(self._at_end(partition) for partition in owned)

    def _at_end(self, partition: Partition) -> bool:
        with translated("poll"):
            # A position lies past the markers of transactions, which no record stands for.
            position = self._consumer.position(TopicPartition(*partition), timeout_ms=0)
        return position is not None and position >= self._ends.get(partition, 0)
