"""What can be seen of librdkafka's reading from outside: positions, ends, lag, connections, stalled partitions.

Owns these figures. Never moves anything: `source` does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import TopicPartition

from worker.clock import Clock
from worker.ops.metrics import Metrics
from worker.records import Partition

_OBSERVE_EVERY_S: Final = 1.0
_STALL_S: Final = 60.0


class Watch:
    """Follows each partition from what is given of it.

    Args:
        metrics: lag and stalled partitions are set here.
        clock: paces it all.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self.connected = True
        self._given: dict[tuple[str, int], int] = {}  # the last offset given
        self._ends: dict[tuple[str, int], int] = {}  # everything before these was given, or is no record
        self._told: dict[tuple[str, int], int] = {}  # by `passed`
        self._progress: dict[Partition, tuple[int, float]] = {}  # position, and since when it stands there
        self._observed_at = 0.0
        self._passed_at = 0.0

    def give(self, last: Mapping[tuple[str, int], int]) -> None:
        """Take note of the last offset given of each partition."""
        self._given |= last

    def end(self, partition: Partition, offset: int) -> None:
        """Take note that the client has read up to an end, markers and aborted records included."""
        self._ends[partition] = offset

    def forget_ends(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Forget ends: there is more to read than what ended there, or it is read again."""
        for at in partitions:
            self._ends.pop(at, None)

    def went_to(self, partition: Partition, offset: int) -> None:
        """Take note that a partition is read again from an offset."""
        self._given[partition] = offset - 1
        self._ends.pop(partition, None)

    def forget(self, gone: Collection[Partition]) -> None:
        """Forget partitions that went; they may come back at another offset."""
        for at in gone:
            self._given.pop(at, None)
            self._ends.pop(at, None)
            self._told.pop(at, None)
            self._progress.pop(at, None)

    def start_over(self) -> None:
        """A commit failed, and reading stood still on purpose: tell again what was passed, and call nothing stalled."""
        self._told.clear()
        self._progress.clear()

    def passed(self) -> Mapping[Partition, int]:
        """Return positions behind what was given that were not told yet; once a second."""
        now = self._clock.monotonic()
        if now - self._passed_at < _OBSERVE_EVERY_S:
            return {}
        self._passed_at = now
        told = self._told
        found = {at: end for at, end in self._ends.items() if end > max(self._after(at), told.get(at, 0))}
        told |= found
        return {Partition(*at): end for at, end in found.items()}

    def observe(self, consumer: Any, owned: Collection[Partition]) -> None:
        """Set the lag of each owned partition, at most once a second."""
        now = self._clock.monotonic()
        if now - self._observed_at < _OBSERVE_EVERY_S:
            return
        self._observed_at = now
        for at in owned:
            _low, end = consumer.get_watermark_offsets(TopicPartition(*at), cached=True)
            if end < 0:
                continue  # nothing was fetched yet
            position = max(self._after(at), self._ends.get(at, -1))
            if at in self._given or at in self._ends:
                self._metrics.lag.labels(at.topic, str(at.partition)).set(max(0, end - position))
            before = self._progress.get(at)
            if before is None or before[0] != position or end <= position:
                self._progress[at] = (position, now)

    def _after(self, at: tuple[str, int]) -> int:
        return self._given.get(at, -1) + 1

    def stalled(self) -> str | None:
        """Return which partitions have records that do not come."""
        now = self._clock.monotonic()
        stalled = [at for at, (_, since) in self._progress.items() if now - since > _STALL_S]
        self._metrics.partitions_stalled.set(len(stalled))
        if not stalled:
            return None
        names = ", ".join(f"{at.topic}-{at.partition}" for at in stalled[:5])
        return f"{names}: records wait, and none came for {_STALL_S:.0f} s: an open transaction, or a stuck client"

    def take_statistics(self, text: str) -> None:
        """Take the client's statistics, which it tells once a second: is any connection up?"""
        brokers: dict[str, dict[str, Any]] = json.loads(text)["brokers"]
        self.connected = any(each["state"] == "UP" for each in brokers.values())
