"""What librdkafka's consumer shows of its reading: positions, ends of what it fetched, connections.

Owns these figures. Never seeks: `source` does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from confluent_kafka import TopicPartition

from worker.clock import Clock
from worker.kafka.progress import OncePerSecond, Progress
from worker.ops.metrics import Metrics
from worker.records import Partition


class LagTracker(Progress):
    """Derives the position of each partition from the records that were returned and the ends that were reached.

    Attributes:
        last_returned: the last offset returned, by partition.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        super().__init__(metrics, clock)
        self.last_returned: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}  # everything before these was returned, or is not a record
        self._reported: dict[tuple[str, int], int] = {}  # by `offsets_past_markers`
        self._observation = OncePerSecond(clock)
        self._marker_check = OncePerSecond(clock)

    def returned(self, last: Mapping[tuple[str, int], int]) -> None:
        """Note the last offset returned of each partition."""
        self.last_returned |= last

    def reached_end(self, partition: Partition, offset: int) -> None:
        """Note that the client has read up to an end, markers and aborted records included."""
        self._ends[partition] = offset

    def drop_ends(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget ends: records were read past them, or are read again."""
        for at in partitions:
            self._ends.pop(at, None)

    def sought(self, partition: Partition, offset: int) -> None:
        """Note that a partition is read again from an offset."""
        self.last_returned[partition] = offset - 1
        self._ends.pop(partition, None)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that were removed; they may be assigned again at another offset."""
        super().drop(partitions)
        for at in partitions:
            self.last_returned.pop(at, None)
            self._ends.pop(at, None)
            self._reported.pop(at, None)

    def clear(self) -> None:
        """Forget what was reported: a commit failed, and reading was paused on purpose."""
        super().clear()
        self._reported.clear()

    def offsets_past_markers(self) -> Mapping[Partition, int]:
        """Return positions past what was returned that were not reported yet; once a second."""
        if not self._marker_check.due():
            return {}
        reported = self._reported
        found = {at: end for at, end in self._ends.items() if end > max(self._next(at), reported.get(at, 0))}
        reported |= found
        return {Partition(*at): end for at, end in found.items()}

    def observe_all(self, consumer: Any, owned: Collection[Partition]) -> None:
        """Observe each owned partition, at most once a second."""
        if not self._observation.due():
            return
        for at in owned:
            _low, end = consumer.get_watermark_offsets(TopicPartition(*at), cached=True)
            if end >= 0:  # else nothing was fetched yet
                position = max(self._next(at), self._ends.get(at, -1))
                known = at in self.last_returned or at in self._ends
                self.observe(at, position if known else None, end)

    def on_statistics(self, text: str) -> None:
        """Take the statistics that the client reports once a second: whether any connection is up."""
        brokers: dict[str, dict[str, Any]] = json.loads(text)["brokers"]
        self.connected = any(broker["state"] == "UP" for broker in brokers.values())

    def _next(self, at: tuple[str, int]) -> int:
        return self.last_returned.get(at, -1) + 1
