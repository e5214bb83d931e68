"""Where librdkafka's consumer is to read next, other than where it is.

Owns the seeks that are due. `source` says what was not committed, `topic_ids` which topic was created again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from worker.errors import ServiceError
from worker.kafka.confluent.client import raise_first_error, translated
from worker.kafka.confluent.lag import LagTracker
from worker.kafka.group import Ownership
from worker.records import Partition, Record
from worker.settings import WorkerSettings

_START_S: Final = 2.0  # longest wait for where reading should have begun; the next poll waits longer


class Seeks:
    """The seeks to carry out before anything else is read. Not thread-safe: one a source."""

    def __init__(self, settings: WorkerSettings, ownership: Ownership, lag: LagTracker) -> None:
        self._settings = settings
        self._ownership = ownership
        self._lag = lag
        self._rewinds: dict[Partition, int] = {}
        self._unsure: set[Partition] = set()
        self._restarts: set[Partition] = set()
        self._ends: dict[tuple[str, int], int] = {}  # that the current poll has reached

    def rewind(self, positions: Mapping[Partition, int]) -> None:
        """Read partitions that are owned again from what is committed, or from these offsets where nothing is."""
        for partition, offset in positions.items():
            self._rewinds[partition] = min(offset, self._rewinds.get(partition, offset))
        self._lag.drop_ends(positions)

    def check(self, partitions: Iterable[Partition]) -> None:
        """Read partitions again from what is committed where that is lower than what was read."""
        self._unsure.update(partitions)

    def restart(self, topic: str) -> None:
        """Read a topic that was created again from its beginning, unless `auto_offset_reset` starts at the end."""
        if self._settings.auto_offset_reset == "earliest":
            self._restarts |= {partition for partition in self._ownership.owned if partition.topic == topic}

    def reached_end(self, partition: Partition, offset: int) -> None:
        """Note that a poll found a partition at its end."""
        self._ends[partition] = offset

    def misplaced(self, consumer: Any, firsts: Mapping[tuple[str, int], Record]) -> set[tuple[str, int]]:
        """Return the partitions that were, or may have been, read from a wrong offset; the next poll reads them again.

        librdkafka 2.16 begins where `auto_offset_reset` says, if the assignment changes while it waits for the end of a
        transaction that includes a partition's offset (`rd_kafka_assignment_apply_offsets` in rdkafka_assignment.c).
        What lies before the committed offset would be published twice, and what `latest` passes over would be lost.

        Args:
            consumer: asked for the committed offsets of those partitions that were not read before.
            firsts: the first record of each partition that the poll returned.
        """
        found, self._ends = self._ends | {at: first.offset for at, first in firsts.items()}, {}
        fresh = self._ownership.reads.unknown(found)
        if not fresh:
            return set()
        committed: dict[Partition, int] = {}
        with suppress(ServiceError):  # it is not known now: wait for it before the next poll
            committed = self._committed(consumer, fresh, _START_S)
        wrong: set[tuple[str, int]] = set()
        for at in fresh:
            begin, first = committed.get(at), found[at]
            if begin is None or self._is_wrong(first, begin):
                wrong.add(at)
                self.rewind({at: first})
            else:
                self._ownership.reads.sought({at: begin if begin >= 0 else first})
        return wrong

    def _is_wrong(self, first: int, committed: int) -> bool:
        # From the log's beginning no record can be passed over: only markers, and what compaction removed, lie between.
        return first < committed or (self._settings.auto_offset_reset == "latest" and 0 <= committed < first)

    def forget(self, removed: Collection[Partition]) -> None:
        """Forget partitions that this member has lost."""
        self._rewinds = {partition: offset for partition, offset in self._rewinds.items() if partition not in removed}
        self._unsure.difference_update(removed)
        self._restarts.difference_update(removed)
        self._ends = {at: end for at, end in self._ends.items() if at not in removed}

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
            self._ownership.reads.sought({partition: 0})  # what is committed may be of the old topic
            self._rewinds.pop(partition, None)
            self._restarts.discard(partition)
        if not self._unsure and not self._rewinds:
            return
        self._unsure &= self._ownership.owned
        self._rewinds = {at: offset for at, offset in self._rewinds.items() if at in self._ownership.owned}
        wanted = self._unsure | self._rewinds.keys()
        if not wanted:
            return
        with translated("read committed offsets"):
            committed = self._committed(consumer, wanted, self._settings.request_timeout_s)
            for partition in wanted:
                given = self._rewinds.get(partition)
                target = self._ownership.reads.after_failure(partition, given, committed.get(partition))
                if target is not None:
                    consumer.seek(TopicPartition(*partition, target))
                    self._lag.sought(partition, target)
                    self._ownership.reads.sought({partition: target})
                self._rewinds.pop(partition, None)
                self._unsure.discard(partition)

    def _committed(self, consumer: Any, partitions: Iterable[Partition], timeout_s: float) -> dict[Partition, int]:
        """Return the committed offsets, once no open transaction includes them; negative where nothing is committed."""
        with translated("read committed offsets"):
            found = consumer.committed([TopicPartition(*at) for at in partitions], timeout=timeout_s)
            raise_first_error(found)
        return {Partition(at.topic, at.partition): at.offset for at in found}
