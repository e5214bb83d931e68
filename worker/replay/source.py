"""The Source port with an end: a KafkaSource that stops at the offsets a replay set out to reach.

Owns the end of each partition. Membership, positions and rewinding are the worker's own; a partition that is at its
end is paused, so that the live tail is not fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka import TopicPartition

from worker.clock import Clock
from worker.kafka.offset_range import Span
from worker.kafka.python.client import translated
from worker.kafka.python.source import KafkaSource
from worker.ops.metrics import Metrics
from worker.records import Partition, Record, partition_of
from worker.settings import WorkerSettings


class BoundedSource(KafkaSource):
    """A member of the replay's group that reads up to the ends given. One thread only.

    Partitions without an end (a topic that grew) are not read.

    Args:
        settings: brokers, topics, group, time-outs.
        metrics: as for any source.
        clock: as for any source.
    """

    def __init__(self, settings: WorkerSettings, *, metrics: Metrics, clock: Clock) -> None:
        # Not a static member: one that stops leaves the group at once, so the next run need not wait for it.
        super().__init__(settings, instance_id=None, metrics=metrics, clock=clock)
        self.ends: Mapping[Partition, int] = {}

    def until(self, spans: Mapping[Partition, Span]) -> None:
        """Set the ends; to be called before the first poll."""
        self.ends = {partition: span.end for partition, span in spans.items()}

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return at most so many new records before the ends; block at most so long.

        Raises:
            ServiceError: the client gave up.
        """
        self._rest()
        records = super().poll(max_records, timeout_s)
        return [record for record in records if record.offset < self.ends.get(partition_of(record), 0)]

    def passed(self) -> Mapping[Partition, int]:
        """Return nothing: its positions may lie past the end, and nobody watches its lag."""
        return {}

    @property
    def done(self) -> bool:
        """Whether every partition of this member stands at its end; not while it has none.

        Raises:
            ServiceError: the client gave up.
        """
        owned = self._owned()
        return bool(owned) and all(self._at_end(partition) for partition in owned)

    def _rest(self) -> None:
        """Pause what is at its end, resume what a rewind put back."""
        owned = self._owned()
        ended = {partition for partition in owned if self._at_end(partition)}
        for partition in ended:
            self._progress.pop(partition, None)  # what stands still on purpose is not stalled
        self._consumer.pause(*(TopicPartition(*each) for each in ended))
        self._consumer.resume(*(TopicPartition(*each) for each in owned - ended))

    def _at_end(self, partition: Partition) -> bool:
        with translated("poll"):
            # Known without asking, and past the markers of transactions, which no record stands for.
            position = self._consumer.position(TopicPartition(*partition), timeout_ms=0)
        return position is not None and position >= self.ends.get(partition, 0)
