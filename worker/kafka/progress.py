"""How far each owned partition has been read, and why no record can come: the rules that both sources share.

Owns the metric of stalled partitions, and the wording of `not_ready_reason`. Never reads and never seeks: the sources
report their positions here. How far the group is behind is for `group_lag`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from worker.clock import Clock
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.settings import WorkerSettings

_INTERVAL_S: Final = 1.0
_STALL_S: Final = 60.0  # the fetcher of kafka-python 3.0.7 could lose a partition without an error


class OncePerSecond:
    """Limits how often a source looks at its positions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s = 0.0

    def due(self) -> bool:
        """Return whether a second has passed since this last returned True."""
        now = self._clock.monotonic()
        if now - self._last_s < _INTERVAL_S:
            return False
        self._last_s = now
        return True


class Progress:
    """Follows the positions of the owned partitions.

    Attributes:
        connected: whether a connection to any broker is open.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.connected = True
        self._metrics = metrics
        self._clock = clock
        self._positions: dict[Partition, tuple[int | None, float]] = {}  # position, and when it last changed

    def observe(self, partition: Partition, position: int | None, end: int) -> None:
        """Note a partition's position, None while no record of it has been read, and the end of what was fetched."""
        now = self._clock.monotonic()
        before = self._positions.get(partition)
        if before is None or before[0] != position or end <= (position or 0):
            self._positions[partition] = (position, now)

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are not read any more."""
        for partition in partitions:
            self._positions.pop(partition, None)

    def clear(self) -> None:
        """Forget all positions: a partition that was paused on purpose has not stalled."""
        self._positions.clear()

    def stalled_reason(self, owned: Collection[Partition]) -> str | None:
        """Return which partitions have unread records that do not arrive; None when there is none."""
        now = self._clock.monotonic()
        stalled = [at for at, (_, since) in self._positions.items() if now - since > _STALL_S and at in owned]
        self._metrics.partitions_stalled.set(len(stalled))
        if not stalled:
            return None
        names = ", ".join(f"{partition.topic}-{partition.partition}" for partition in stalled[:5])
        return f"{names}: records are waiting, none came for {_STALL_S:.0f} s: an open transaction or a stuck client"


def no_broker_reason(settings: WorkerSettings) -> str:
    """Return why a member without a connection is not ready."""
    return f"no broker of {','.join(settings.kafka_bootstrap_servers)} answers; trying again"


def joining_reason(group_id: str, missing_topics: Sequence[str]) -> str:
    """Return why a member that has not joined its group is not ready."""
    if missing_topics:
        return f"WORKER_INPUT_TOPICS: {', '.join(missing_topics)}: no such topic on the brokers; create it"
    return f"joining the consumer group {group_id}"
