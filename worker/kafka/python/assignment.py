"""Which partitions this member owns, as kafka-python reports it to its listener.

Owns the listener. The client calls it on its IO thread, where consumer calls are not allowed. And asks for a join that
the client has forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kafka import ConsumerRebalanceListener, TopicPartition

from worker.kafka.group import Ownership
from worker.records import Partition


class OwnershipListener(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Records changes of ownership; `member_id` returns the present one."""

    def __init__(self, ownership: Ownership, member_id: Callable[[], str]) -> None:
        self._ownership = ownership
        self._member_id = member_id

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Record newly assigned partitions."""
        self._ownership.add((Partition(*partition) for partition in assigned), self._member_id())

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Record partitions that were revoked in a rebalance."""
        self._ownership.remove((Partition(*partition) for partition in revoked), "revoked")

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Record partitions that were lost with the membership."""
        self._ownership.remove((Partition(*partition) for partition in lost), "lost")


def ask_for_forgotten_join(consumer: Any) -> None:
    """Let the next poll join, if kafka-python 3.0.12 has forgotten a join that new metadata caused.

    It would leave the heartbeat off, refuse every commit as "rebalance in progress", and never join again.
    """
    coordinator = consumer._coordinator
    join = coordinator._join_task
    if join is not None and join.is_done and not coordinator.need_rejoin():
        coordinator.request_rejoin()
