"""Which partitions this member of the group has, as kafka-python tells it.

Owns the counting of rebalances. Called from the client's IO thread; `source` asks from the loop's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, TopicPartition

from worker.ops.metrics import Metrics
from worker.records import Partition


class Ownership(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Notes changes of ownership. Called on the client's IO thread, where no consumer call is allowed."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._revoked: set[Partition] = set()
        self._owned: set[Partition] = set()
        self.joined = False

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note what came."""
        self._metrics.rebalances.labels("assigned").inc()
        with self._lock:
            self._owned.update(Partition(*each) for each in assigned)
            self.joined = True
        self._metrics.partitions_assigned.set(len(self._owned))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Note what went in order."""
        self._gone(revoked, "revoked")

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Note what went with the membership."""
        self.joined = False
        self._gone(lost, "lost")

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions lost or revoked since the last call."""
        with self._lock:
            taken, self._revoked = frozenset(self._revoked), set()
        return taken

    def _gone(self, partitions: Iterable[TopicPartition], event: str) -> None:
        gone = {Partition(*each) for each in partitions}
        if gone:
            self._metrics.rebalances.labels(event).inc()
        with self._lock:
            self._revoked |= gone
            self._owned -= gone
        for each in gone:
            self._metrics.lag.labels(each.topic, str(each.partition)).set(0)
        self._metrics.partitions_assigned.set(len(self._owned))
