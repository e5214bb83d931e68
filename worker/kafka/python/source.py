"""The Source port on kafka-python's consumer.

Owns the membership in the group and the positions. Never decodes a value (a deserializer that raises makes the client
skip good records) and never commits by itself: the delivery asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState
from typing_extensions import override

from worker.clock import Clock
from worker.errors import TransientError
from worker.kafka.connection import connection_hint
from worker.kafka.group import GroupSource, Ownership
from worker.kafka.progress import OncePerSecond, Progress, joining_reason, no_broker_reason
from worker.kafka.python.assignment import OwnershipListener, ask_for_forgotten_join
from worker.kafka.python.client import client_config, make_client, topic_exists, translated
from worker.ops.metrics import Metrics
from worker.records import Partition, Record
from worker.settings import WorkerSettings

_FETCH_BYTES: Final = 1024 * 1024  # per response, over all partitions: more costs memory and is slower
# A topic that is created or gets partitions while the worker runs is noticed after this time; the client's default of
# 5 minutes would be an outage.
_METADATA_MS: Final = 10_000
_COMMITTED_MS: Final = 2000  # longest wait for a figure that only a warning depends on
_CLOSE_MS: Final = 2000  # of a client that is no member any more
_JOIN_S: Final = 0.5  # longest wait for an answer to JoinGroup in one poll, so that a signal is noticed in time


class KafkaSource(GroupSource):
    """A member of the consumer group, a static one when it is given an `instance_id`. One thread only.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings, *, instance_id: str | None, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._metrics = metrics
        self._membership: Any = None
        self._progress = Progress(metrics, clock)
        self._observation = OncePerSecond(clock)
        self._marker_check = OncePerSecond(clock)
        self._unsure: dict[Partition, int | None] = {}  # owned when a batch failed, with the offset given for it
        # The offset after the last record returned, or the last one reported by `offsets_past_markers`.
        self._next_offsets: dict[Partition, int] = {}
        self.ownership = Ownership(metrics)
        self._instance_id = instance_id
        self._consumer = self._make_consumer()

    @override
    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self._go_to_committed()
        with translated("poll"):
            fetched = self._poll(timeout_s, max_records)
            # Now, not at the commit: an evicted consumer returns generation -1, which the broker would not fence.
            self._membership = self._consumer.group_metadata()
        self._lose_kept()
        self._metrics.partitions_paused.set(0)
        self._observe()
        self._note_reads(fetched)
        self._next_offsets |= {Partition(*at): records[-1].offset + 1 for at, records in fetched.items() if records}
        if len(fetched) == 1:
            return next(iter(fetched.values()))
        return [record for records in fetched.values() for record in records]

    @override
    def membership(self) -> Any:
        membership = self._membership
        if membership is None or membership.generation_id < 0 or not membership.member_id:
            raise TransientError("kafka", f"no longer a member of group {self._settings.group_id}; joining again")
        return membership

    @override
    def take_revoked(self) -> frozenset[Partition]:
        return self.ownership.take_revoked()

    @override
    def not_ready_reason(self) -> str | None:
        if not self._progress.connected:
            return no_broker_reason(self._settings)
        if self.ownership.owned:
            return self._progress.stalled_reason(self._owned())
        try:
            missing = [topic for topic in self._settings.input_topics if not topic_exists(self._consumer, topic)]
        except kafka_errors.KafkaError as error:
            return f"look for the input topics: {error}"
        # A member of a group that has no topic has joined, too.
        return joining_reason(self._settings.group_id, missing) if missing or not self.ownership.joined else None

    @override
    def topic_id(self, topic: str) -> str:
        found = self._consumer._cluster.topic_id(topic)  # it comes with the metadata, without a public method
        return "" if found is None else str(found)

    @override
    def offsets_past_markers(self) -> Mapping[Partition, int]:
        if not self._marker_check.due():
            return {}
        found = {at: position for at, position, _ in self._positions() if position > self._next_offsets.get(at, 0)}
        self._next_offsets |= found
        return found

    @override
    def rewind(self, positions: Mapping[Partition, int]) -> None:
        owned = self._owned()
        for partition, offset in positions.items():
            if partition in owned:
                self._consumer.seek(TopicPartition(*partition), offset)
                self.ownership.reads.sought({partition: offset})
        for at in owned:
            given = [offset for offset in (positions.get(at), self._unsure.get(at)) if offset is not None]
            self._unsure[at] = min(given, default=None)

    @override
    def hold(self, timeout_s: float) -> None:
        held = [TopicPartition(*partition) for partition in self._owned()]
        self._consumer.pause(*held)
        self._metrics.partitions_paused.set(len(held))
        try:
            with translated("poll"):
                fetched = self._poll(timeout_s, None)
            # A partition that was assigned during this poll was not paused: read its records again later.
            for partition, records in fetched.items():
                self._consumer.seek(partition, records[0].offset)
        finally:
            self._progress.clear()
            self._next_offsets.clear()  # a commit failed: report the positions past markers again
            owned = self._owned()
            self._consumer.resume(*(at for at in held if Partition(*at) in owned))  # `poll` reports that it reads again

    @override
    def commit(self, offsets: Mapping[Partition, int]) -> None:
        to_commit = {TopicPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}
        with translated("commit"):
            self._consumer.commit(to_commit, timeout_ms=round(self._settings.request_timeout_s * 1000))

    @override
    def close(self, timeout_s: float) -> None:
        with translated("close"):
            self._consumer.close(autocommit=False, timeout_ms=round(timeout_s * 1000))

    def _lose_kept(self) -> None:
        """Go on with a new client if this one has kept partitions from an earlier membership.

        Raises:
            TransientError: it has.
        """
        if not self.ownership.kept(self._membership.member_id):
            return
        before, self._consumer = self._consumer, self._make_consumer()  # if it fails, they are found at the next poll
        self.ownership.remove(self.ownership.owned, "lost")
        self._unsure.clear()
        self._next_offsets.clear()
        with translated("leave the group"):
            before.close(autocommit=False, timeout_ms=_CLOSE_MS)
        raise TransientError("kafka", f"removed from group {self._settings.group_id}; joining again")

    def _make_consumer(self) -> Any:
        """Return a consumer that joins at its first poll."""
        with translated(connection_hint(self._settings)):
            config = {
                **client_config(self._settings),
                "group_id": self._settings.group_id,
                "group_instance_id": self._instance_id,
                "client_rack": self._settings.kafka_rack or "",
                "auto_offset_reset": self._settings.auto_offset_reset,
                "enable_auto_commit": False,
                "isolation_level": "read_committed",
                "allow_auto_create_topics": False,
                "partition_assignment_strategy": [CooperativeStickyAssignor],
                "metadata_max_age_ms": _METADATA_MS,
                "fetch_max_bytes": _FETCH_BYTES,
                "max_partition_fetch_bytes": _FETCH_BYTES,
                "session_timeout_ms": round(self._settings.session_timeout_s * 1000),
                "heartbeat_interval_ms": round(self._settings.session_timeout_s * 1000 / 5),
                "max_poll_interval_ms": round(self._settings.max_poll_interval_s * 1000),
            }
            consumer = make_client(KafkaConsumer, config)
            # Fetch the partitions before joining the group: a leader that knows no partitions assigns none, and a
            # static member's next join may be answered with that assignment again (KIP-345): it would never read.
            for topic in self._settings.input_topics:
                topic_exists(consumer, topic)
            listener = OwnershipListener(self.ownership, lambda: str(consumer.group_metadata().member_id))
            consumer.subscribe(self._settings.input_topics, listener=listener)
            return consumer

    def _poll(self, timeout_s: float, max_records: int | None) -> dict[TopicPartition, list[Record]]:
        """Poll, working around two defects of kafka-python 3.0.12 (tests/contract/test_source_kafka.py shows both).

        An answer to JoinGroup that arrives between two polls is thrown away and requested again, each time a rebalance
        of the whole group: so wait for the answer while joining, when no record can come anyway. And a join may be
        forgotten.
        """
        ask_for_forgotten_join(self._consumer)
        coordinator = self._consumer._coordinator
        if not self.ownership.joined or coordinator.rejoining:
            timeout_s = max(timeout_s, _JOIN_S)
        polled: dict[TopicPartition, list[Record]] = self._consumer.poll(
            timeout_ms=round(timeout_s * 1000), max_records=max_records
        )
        if not self.ownership.owned and coordinator.state is not MemberState.REBALANCING:
            self.ownership.joined = coordinator.stable()  # the client calls its listener only about partitions
        return polled

    def _note_reads(self, fetched: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """Note what was read, and where reading began: the first poll of a partition asks for its committed offset."""
        reads = self.ownership.reads
        records = {Partition(*at): found for at, found in fetched.items() if found}
        with suppress(kafka_errors.KafkaError):  # then a loss before the first record goes unnoticed
            for at in reads.unknown(records):
                committed = self._consumer.committed(TopicPartition(*at), timeout_ms=_COMMITTED_MS)
                if committed is not None:
                    reads.sought({at: committed})
        for at, found in records.items():
            reads.returned(found, {at: found[0]}, {at: found[-1].offset})

    def _go_to_committed(self) -> None:
        timeout_ms = round(self._settings.request_timeout_s * 1000)
        for partition in self._unsure.keys() & self._owned():
            at = TopicPartition(*partition)
            with translated("read committed offsets"):
                committed = self._consumer.committed(at, timeout_ms=timeout_ms)
                target = self.ownership.reads.after_failure(partition, self._unsure[partition], committed)
                if target is not None:
                    self._consumer.seek(at, target)
                    self.ownership.reads.sought({partition: target})
        self._unsure.clear()

    def _owned(self) -> set[Partition]:
        return {Partition(*at) for at in self._consumer.assignment()}

    def _observe(self) -> None:
        """Report the positions, at most once a second."""
        if not self._observation.due():
            return
        # A poll without an open connection returns nothing, as if there were no records.
        groups = self._consumer.metrics().values()
        self._progress.connected = sum(float(group.get("connection-count", 0.0)) for group in groups) > 0
        for partition, position, end in self._positions():
            self._progress.observe(partition, position, end)

    def _positions(self) -> Iterator[tuple[Partition, int, int]]:
        """Yield each partition's position and the end of its log, where both are known."""
        for at in self._consumer.assignment():
            end = self._consumer.highwater(at)
            position = self._consumer.position(at, timeout_ms=0) if end is not None else None
            if end is not None and position is not None:
                yield Partition(*at), position, end
