"""The Kafka consumer behind the Source port.

Owns membership in the group, positions, and what is known of lag. Never decodes a value (a raising deserializer makes
the client skip good records) and never commits: the delivery does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from worker.clock import Clock
from worker.errors import TransientError
from worker.kafka.connection import connecting
from worker.kafka.group import Ownership
from worker.kafka.python.assignment import OwnershipListener
from worker.kafka.python.client import client_config, make_client, translated
from worker.ops.metrics import Metrics
from worker.records import Partition, Record
from worker.settings import WorkerSettings

_FETCH_BYTES: Final = 1024 * 1024  # an answer, whatever the partitions: more is memory for nothing, and slower
_METADATA_MS = 10_000  # a topic created late, or grown, is read after so long; the client's own 5 minutes is an outage
_OBSERVE_EVERY_S = 1.0
_STALL_S = 60.0
_JOIN_S = 0.5  # longest wait for an answer to JoinGroup in one poll; a signal is seen in time


class KafkaSource:
    """A member of the consumer group. One thread only.

    Args:
        settings: brokers, topics, group and timeouts.
        instance_id: static membership's name of this process, or None.
        metrics: lag, ownership and rebalances are set here.
        clock: paces the observation of lag.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings, *, instance_id: str | None, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._observed_at = 0.0
        self._connected = True
        self._membership: Any = None
        self._progress: dict[Partition, tuple[int, float]] = {}  # position, and since when it stands there
        self._doubtful: set[Partition] = set()  # rewound after a failure that may have committed all the same
        self._given: dict[Partition, int] = {}  # the offset after the last record given, or told by `passed`
        self._passed_at = 0.0
        self._ownership = Ownership(metrics)
        with translated(connecting(settings)):
            config = {
                **client_config(settings),
                "group_id": settings.group_id,
                "group_instance_id": instance_id,
                "auto_offset_reset": settings.auto_offset_reset,
                "enable_auto_commit": False,
                "isolation_level": "read_committed",
                "allow_auto_create_topics": False,
                "partition_assignment_strategy": [CooperativeStickyAssignor],
                "metadata_max_age_ms": _METADATA_MS,
                "fetch_max_bytes": _FETCH_BYTES,
                "max_partition_fetch_bytes": _FETCH_BYTES,
                "session_timeout_ms": round(settings.session_timeout_s * 1000),
                "heartbeat_interval_ms": round(settings.session_timeout_s * 1000 / 5),
                "max_poll_interval_ms": round(settings.max_poll_interval_s * 1000),
            }
            self._consumer = make_client(KafkaConsumer, config)
            # Known before the group is joined: a leader that knows no partitions gives none, and a static member's next
            # join may be answered with that assignment again (KIP-345), which is to read nothing for ever.
            for topic in settings.input_topics:
                self._exists(topic)
            self._consumer.subscribe(settings.input_topics, listener=OwnershipListener(self._ownership))

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return at most so many new records, in offset order per partition; block at most so long.

        Raises:
            ServiceError: the client gave up.
        """
        self._skip_committed()
        with translated("poll"):
            fetched = self._poll(timeout_s, max_records)
            # Now, not at commit: an evicted consumer answers generation -1, which the broker would not fence.
            self._membership = self._consumer.group_metadata()
        self._observe()
        self._given |= {Partition(*at): records[-1].offset + 1 for at, records in fetched.items() if records}
        if len(fetched) == 1:
            return next(iter(fetched.values()))
        return [record for records in fetched.values() for record in records]

    def membership(self) -> Any:
        """Return the group membership under which the last records were polled, for a transaction's commit.

        Raises:
            TransientError: this worker was no member then; its records are another's.
        """
        membership = self._membership
        if membership is None or membership.generation_id < 0 or not membership.member_id:
            raise TransientError("kafka", f"no longer a member of group {self._settings.group_id}; joining again")
        return membership

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions lost or revoked since the last call."""
        return self._ownership.take_revoked()

    def not_ready_reason(self) -> str | None:
        """Return why no record can come now; None when records can come."""
        if not self._connected:
            return f"none of {','.join(self._settings.kafka_bootstrap_servers)} answers; trying again"
        if self._ownership.joined:
            return self._stalled()
        try:
            missing = [topic for topic in self._settings.input_topics if not self._exists(topic)]
        except kafka_errors.KafkaError as error:
            return f"look for the input topics: {error}"
        if missing:
            return f"WORKER_INPUT_TOPICS: {', '.join(missing)}: no such topic on the brokers; create it"
        return f"joining the consumer group {self._settings.group_id}"

    def _exists(self, topic: str) -> bool:
        try:
            return bool(self._consumer.partitions_for_topic(topic))
        except kafka_errors.UnknownTopicOrPartitionError:
            return False  # the client asked the brokers for it a moment ago

    def topic_id(self, topic: str) -> str:
        """Return the brokers' id of a topic's present incarnation (KIP-516); `""` where they tell none.

        The client learns it with its metadata, but offers no public way to ask.
        """
        found = self._consumer._cluster.topic_id(topic)
        return "" if found is None else str(found)

    def offsets_past_markers(self) -> Mapping[Partition, int]:
        """Return positions past markers and aborted records, which no returned record stands for; once a second."""
        now = self._clock.monotonic()
        if now - self._passed_at < _OBSERVE_EVERY_S:
            return {}
        self._passed_at = now
        found = {}
        for each in self._consumer.assignment():
            known = self._consumer.highwater(each) is not None
            position = self._consumer.position(each, timeout_ms=0) if known else None
            if position is not None and position > self._given.get(Partition(*each), 0):
                found[Partition(*each)] = position
        self._given |= found
        return found

    def rewind(self, positions: Mapping[Partition, int]) -> None:
        """Read each partition that is still owned from the offset given.

        A commit that failed may have been carried out, its answer lost with the broker; so the next poll looks, and
        reads from what is committed if that is further. By then the delivery has ended such a transaction.
        """
        owned = self._owned()
        for partition, offset in positions.items():
            if partition in owned:
                self._consumer.seek(TopicPartition(*partition), offset)
                self._doubtful.add(partition)

    def _skip_committed(self) -> None:
        timeout_ms = round(self._settings.request_timeout_s * 1000)
        for partition in self._doubtful & self._owned():
            at = TopicPartition(*partition)
            with translated("read committed offsets"):
                committed = self._consumer.committed(at, timeout_ms=timeout_ms)
                position = self._consumer.position(at, timeout_ms=timeout_ms)
            if committed is not None and position is not None and committed > position:
                self._consumer.seek(at, committed)
        self._doubtful.clear()

    def hold(self, timeout_s: float) -> None:
        """Block for so long, keeping membership and taking no records.

        Raises:
            ServiceError: the client gave up.
        """
        held = [TopicPartition(*partition) for partition in self._owned()]
        self._consumer.pause(*held)
        self._metrics.partitions_paused.set(len(held))
        try:
            with translated("poll"):
                strays = self._poll(timeout_s, None)
            # A partition assigned during this poll was not paused: what came of it is read again.
            for partition, records in strays.items():
                self._consumer.seek(partition, records[0].offset)
        finally:
            self._progress.clear()  # what stands still on purpose is not stalled
            self._given.clear()  # a commit failed: what was passed is told again
            owned = self._owned()
            self._consumer.resume(*(each for each in held if Partition(*each) in owned))
            self._metrics.partitions_paused.set(0)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the next offset of each partition, for at-least-once delivery.

        Raises:
            ServiceError: not committed.
        """
        wanted = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()
        }
        with translated("commit"):
            self._consumer.commit(wanted, timeout_ms=round(self._settings.request_timeout_s * 1000))

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that its partitions move at once."""
        with translated("close"):
            self._consumer.close(autocommit=False, timeout_ms=round(timeout_s * 1000))

    def _poll(self, timeout_s: float, max_records: int | None) -> dict[TopicPartition, list[Record]]:
        """Poll past two defects of kafka-python 3.0.12 (tests/contract/test_source_kafka.py reproduces both).

        An answer to JoinGroup that comes between two polls is thrown away and asked for again, each time a
        rebalance for the whole group: while joining, when no record can come anyway, wait for it. And one that was
        asked for because of new metadata is forgotten, with the heartbeat left off for good: ask again.
        """
        coordinator = self._consumer._coordinator
        join = coordinator._join_task
        if join is not None and join.is_done and not coordinator.need_rejoin():
            coordinator.request_rejoin()
        if not self._ownership.joined or coordinator.rejoining:
            timeout_s = max(timeout_s, _JOIN_S)
        polled: dict[TopicPartition, list[Record]] = self._consumer.poll(
            timeout_ms=round(timeout_s * 1000), max_records=max_records
        )
        return polled

    def _owned(self) -> set[Partition]:
        return {Partition(*each) for each in self._consumer.assignment()}

    def _observe(self) -> None:
        """Set the lag of each owned partition, at most once a second."""
        now = self._clock.monotonic()
        if now - self._observed_at < _OBSERVE_EVERY_S:
            return
        self._observed_at = now
        self._connected = self._connections() > 0
        for each in self._consumer.assignment():
            end = self._consumer.highwater(each)
            position = self._consumer.position(each, timeout_ms=0) if end is not None else None
            if end is not None and position is not None:
                self._metrics.lag.labels(each.topic, str(each.partition)).set(max(0, end - position))
                before = self._progress.get(Partition(*each))
                if before is None or before[0] != position or end <= position:
                    self._progress[Partition(*each)] = (position, now)

    def _connections(self) -> float:
        """Return how many connections are open; a poll without one comes back empty, as if nothing were there."""
        return sum(float(group.get("connection-count", 0.0)) for group in self._consumer.metrics().values())

    def _stalled(self) -> str | None:
        """Return which partitions have records that do not come (a fetcher that lost one did so in 3.0.7)."""
        now = self._clock.monotonic()
        owned = self._owned()
        stalled = [at for at, (_, since) in self._progress.items() if now - since > _STALL_S and at in owned]
        self._metrics.partitions_stalled.set(len(stalled))
        if not stalled:
            return None
        names = ", ".join(f"{at.topic}-{at.partition}" for at in stalled[:5])
        return f"{names}: records wait, and none came for {_STALL_S:.0f} s: an open transaction, or a stuck client"
