"""The consumer group: which partitions this member owns, and what the deliveries need from it.

Owns the record of ownership that both clients share. Each client's `assignment` updates it from the client's callbacks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from worker.kafka.read_log import ReadLog
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.stream.ports import Source


class OffsetCommitter(Protocol):
    """What at-least-once delivery needs from the consumer."""

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the next offset of each partition.

        Raises:
            ServiceError: not committed.
        """


class GroupMember(Protocol):
    """What exactly-once delivery needs from the consumer."""

    def membership(self) -> Any:
        """Return the group membership under which the last records were polled.

        Raises:
            ServiceError: this worker was no member then and another one has its partitions, or a topic is gone.
        """


class GroupSource(Source, OffsetCommitter, GroupMember, Protocol):
    """A source that is a member of a consumer group, with what the deliveries and the store need from it, too.

    Attributes:
        ownership: which partitions it reads, and what it has read of them.
    """

    ownership: Ownership

    def topic_id(self, topic: str) -> str:
        """Return the brokers' id of a topic (KIP-516), a new one when it is created again; `""` when they have none.

        Raises:
            ServiceError: the brokers do not answer, or an input topic was deleted or created again.
        """


class Ownership:
    """Records which partitions are owned. A client may call it from a thread of its own.

    Attributes:
        owned: the partitions this member has.
        joined: whether it is a member of the group.
        changes: how often the assignment has changed.
        reads: what was read of them.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._revoked: set[Partition] = set()
        self._removed: set[Partition] = set()
        self._member_ids: dict[Partition, str] = {}
        self.owned: set[Partition] = set()
        self.joined = False
        self.changes = 0
        self.reads = ReadLog()

    def add(self, partitions: Iterable[Partition], member_id: str = "") -> None:
        """Record partitions that were assigned under a member id; an empty assignment counts, too."""
        self._metrics.rebalances.labels("assigned").inc()
        added = set(partitions)
        with self._lock:
            self.owned = self.owned | added
            self._member_ids |= dict.fromkeys(added, member_id)
            self.joined = True
            self.changes += 1
        self._metrics.partitions_assigned.set(len(self.owned))

    def remove(self, partitions: Iterable[Partition], event: str) -> None:
        """Record partitions that were `revoked` in a rebalance, or `lost` with the membership."""
        removed = set(partitions)
        if removed:
            self._metrics.rebalances.labels(event).inc()
        with self._lock:
            self._revoked |= removed
            self._removed |= removed
            self.owned = self.owned - removed
            self.joined = self.joined and event != "lost"
            self.changes += 1
        self.reads.drop(removed)
        self._metrics.partitions_assigned.set(len(self.owned))

    def kept(self, member_id: str) -> bool:
        """Return whether a member with this id (`""`: none) has partitions that it was assigned under another.

        A member that is removed while its JoinGroup request waits gets UNKNOWN_MEMBER_ID, and joins under a new id.
        Both clients keep its partitions and positions then and call nobody back (librdkafka 2.16: a static member's;
        kafka-python 3.0: any member's), though another member may have read on there: what is read next would be
        published twice.
        """
        with self._lock:
            return member_id != "" and any(self._member_ids[at] != member_id for at in self.owned)

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions removed since the last call, for the loop."""
        with self._lock:
            taken, self._revoked = frozenset(self._revoked), set()
        return taken

    def take_removed(self) -> frozenset[Partition]:
        """Return the same for the source itself; a partition among them may be owned again, at another offset."""
        with self._lock:
            taken, self._removed = frozenset(self._removed), set()
        return taken
