"""How far the group is behind, as the brokers say: the ends of the partitions against what is committed.

Owns the metrics of lag, of age and of lost records, and the thread that sets them. What a worker has fetched says
nothing about what waits: while it holds, it fetches nothing. So the brokers are asked on a clock, whatever the loop
does, and also before this worker has joined its group. Never commits and never seeks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, Protocol

from worker.clock import Clock
from worker.errors import ServiceError
from worker.kafka.group import Ownership
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.settings import WorkerSettings

_INTERVAL_S: Final = 5.0  # a third of the usual scrape interval; two small requests
_PART: Final = "lag"
_FAILURES_NOTED: Final = 2  # in a row


class Offsets(NamedTuple):
    """What the brokers say of a partition; `end` counts records of open transactions, too."""

    committed: int | None
    begin: int
    end: int


class OffsetReader(Protocol):
    """Asks the brokers, on one client."""

    def read(self, partitions: Collection[Partition] | None) -> Mapping[Partition, Offsets]:
        """Return the offsets of these partitions, or of all partitions of the input topics.

        Raises:
            ServiceError: the brokers do not answer.
        """

    def close(self) -> None:
        """Give the client back. Never raises."""


class GroupLag:
    """Sets lag, age and losses of the partitions that this worker reads; of all, until it has joined its group.

    Args:
        reader: asks the brokers.
        settings: where a group without commits starts.
        ownership: which partitions are read, and what was read of them.
        clock: says how old a record is.
        metrics: the gauges and the counter.
        health: that there is nothing to read, or that the lag is not known, is noted here.
        log: gets an event for each loss.
    """

    def __init__(
        self,
        reader: OffsetReader,
        settings: WorkerSettings,
        ownership: Ownership,
        *,
        clock: Clock,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        self._reader = reader
        self._earliest = settings.auto_offset_reset == "earliest"
        self._ownership = ownership
        self._clock = clock
        self._metrics = metrics
        self._health = health
        self._log = log
        self._failures = 0
        self._shown: set[Partition] = set()
        self._starts: dict[Partition, int] = {}  # where a group without commits starts
        self._behind_since: dict[Partition, tuple[int, float]] = {}  # committed, and when records were first waiting
        self._lost_to: dict[Partition, int] = {}  # losses up to here are counted

    def start(self, stop: threading.Event) -> None:
        """Update from a daemon thread until `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="lag", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.update()
            except ServiceError as error:
                self._unknown(str(error))
            except Exception as error:  # noqa: BLE001  (without this thread the gauges would keep their last values)
                self._unknown(f"{type(error).__name__}: {error}")
            else:
                self._failures = 0
                self._health.note(_PART, None)
            stop.wait(_INTERVAL_S)
        self._reader.close()

    def _unknown(self, reason: str) -> None:
        self._failures += 1
        if self._failures < _FAILURES_NOTED:  # a coordinator that moves, or a leader
            return
        if self._health.note(_PART, f"not known, the last values are shown: {reason}"):
            self._log(logging.WARNING, "lag_unknown", reason=reason)

    def update(self) -> None:
        """Ask the brokers and set the metrics.

        Raises:
            ServiceError: the brokers do not answer; the metrics keep their values.
        """
        standing_by = self._ownership.joined and not self._ownership.owned
        if self._health.note("group", "no partitions: standing by" if standing_by else None):
            self._log(logging.INFO, "standing_by")
        gaps = self._ownership.reads.take_gaps()
        wanted = {*self._ownership.owned, *(gap.partition for gap in gaps)} if self._ownership.joined else None
        found = self._reader.read(wanted)
        shown = self._ownership.owned if self._ownership.joined else found.keys()
        for at in shown & found.keys():
            self._show(at, found[at])
        for at in self._shown - shown:  # another worker reads these, and shows them
            self._set(at, 0, 0.0)
            self._behind_since.pop(at, None)
        self._shown = set(shown)
        for at, expected, record in gaps:
            if at in found and found[at].begin > expected:  # else these were markers and aborted records
                self._count_lost(at, expected, min(record, found[at].begin) if self._earliest else record)

    def _show(self, at: Partition, found: Offsets) -> None:
        self._metrics.lost.labels(at.topic, str(at.partition))  # a counter that starts above 0 has no increase
        if found.committed is not None:
            if at in self._ownership.owned:
                self._count_lost(at, found.committed, found.begin)
            start = max(found.committed, found.begin)
        else:
            start = found.begin if self._earliest else self._starts.setdefault(at, found.end)
        lag = max(0, found.end - start)
        self._set(at, lag, self._behind_s(at, start) if lag else 0.0)
        if not lag:
            self._behind_since.pop(at, None)

    def _behind_s(self, at: Partition, start: int) -> float:
        """Return how long the first record that is not committed has waited, at least.

        Its own timestamp says so if it was read; or else, and if that timestamp is wrong, when it was seen to wait.
        """
        now = self._clock.monotonic()
        before = self._behind_since.get(at)
        if before is None or before[0] != start:
            before = self._behind_since[at] = (start, now)
        written_ms = self._ownership.reads.timestamp_at(at, start)
        age_s = 0.0 if written_ms is None else self._clock.wall() - written_ms / 1000
        return max(age_s, now - before[1])

    def _count_lost(self, at: Partition, start: int, end: int) -> None:
        start = max(start, self._lost_to.get(at, 0))
        if end <= start:
            return
        self._lost_to[at] = end
        self._metrics.lost.labels(at.topic, str(at.partition)).inc(end - start)
        self._log(
            logging.WARNING,
            "records_lost",
            topic=at.topic,
            partition=at.partition,
            records=end - start,
            first_offset=start,
            reason="the topic's retention removed them before they were read; raise its retention.ms or add workers",
        )

    def _set(self, at: Partition, lag: int, behind_s: float) -> None:
        labels = at.topic, str(at.partition)
        self._metrics.lag.labels(*labels).set(lag)
        self._metrics.behind.labels(*labels).set(behind_s)
