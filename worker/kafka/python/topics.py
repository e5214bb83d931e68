"""Topics as the commands see them: partitions, offsets, retention, a group's offsets, and the records of a range.

Owns a consumer that never joins a group. The commands use it, whichever client the stream is read with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from worker.clock import Clock
from worker.errors import SettingsError, TransientError
from worker.kafka.connection import connection_hint
from worker.kafka.offset_range import Point, Span
from worker.kafka.python.client import client_config, make_client, translated
from worker.records import Partition, Record
from worker.settings import WorkerSettings

_POLL_RECORDS: Final = 500
_POLL_MS: Final = 500
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_RETENTION_CONFIGS: Final = ("retention.ms", "cleanup.policy", "message.timestamp.type")


class Topics:
    """Asks the brokers about topics, reads them, and reads and sets the offsets of a group; `close` it.

    Raises:
        ServiceError: in every method: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings, clock: Clock, *, group_id: str | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._timeout_ms = round(settings.request_timeout_s * 1000)
        config = {
            **client_config(settings),
            "group_id": group_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
        }
        with translated(connection_hint(settings)):
            self._consumer: Any = make_client(KafkaConsumer, config)

    def close(self) -> None:
        """Close the consumer."""
        with translated("close"):
            self._consumer.close(autocommit=False)

    def partitions(self, topic: str) -> list[Partition]:
        """Return the partitions of a topic, in order; empty when there is no such topic."""
        if not _TOPIC.fullmatch(topic):
            return []  # the client would raise
        with translated(f"look for topic {topic}"):
            return [Partition(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic))]

    def require(self, topics: Sequence[str], name: str) -> list[Partition]:
        """Return the partitions of topics that must exist; `name` is the flag or variable that names them.

        Raises:
            SettingsError: there is no such topic.
        """
        found = [self.partitions(topic) for topic in topics]
        for topic, partitions in zip(topics, found, strict=True):
            if not partitions:
                raise SettingsError(f"{name}: {topic}: no such topic on the brokers; create it")
        return [partition for partitions in found for partition in partitions]

    def spans(self, partitions: Sequence[Partition], start: Point, end: Point) -> dict[Partition, Span]:
        """Return the offsets between two points, as of now; a span that would end before it begins is empty."""
        found = {}
        asked = [TopicPartition(*partition) for partition in partitions]
        with translated("look up offsets"):
            begins = self._consumer.beginning_offsets(asked)
            ends = self._consumer.end_offsets(asked)
            starts, stops = (self._offsets_at(point, asked) for point in (start, end))
        for partition, at in zip(partitions, asked, strict=True):
            log = Span(begins[at], ends[at])
            first = start.offset_in(log, starts.get(at))
            found[partition] = Span(first, max(first, end.offset_in(log, stops.get(at))))
        return found

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return the group's committed offsets, without partitions that have none; waits for open transactions."""
        with translated("read committed offsets"):
            found = {
                partition: self._consumer.committed(TopicPartition(*partition), timeout_ms=self._timeout_ms)
                for partition in partitions
            }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def commit(self, offsets: Mapping[Partition, int]) -> bool:
        """Set the group's offsets; False, and nothing is set, while the group has members.

        The brokers refuse a commit from outside a group that has members, so this is also the test for an empty group.
        """
        wanted = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()
        }
        with translated("set the group's offsets"):
            try:
                self._consumer.commit(wanted, timeout_ms=self._timeout_ms)
            except (kafka_errors.CommitFailedError, kafka_errors.RebalanceInProgressError):
                return False
        return True

    def read(self, partition: Partition, span: Span) -> Iterator[Record]:
        """Yield the committed records of a span, in order."""
        at = TopicPartition(*partition)
        self._consumer.assign([at])
        self._consumer.seek(at, span.start)
        position, moved_at = span.start, self._clock.monotonic()
        while position < span.end:
            with translated(f"read {partition.topic}"):
                polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
                reached = self._consumer.position(at)
            for record in polled.get(at, ()):
                if record.offset >= span.end:
                    return
                yield record
            now = self._clock.monotonic()
            if reached > position:
                position, moved_at = reached, now
            elif now - moved_at > self._settings.request_timeout_s:
                waited = f"no answer for {self._settings.request_timeout_s:g} s"
                raise TransientError("kafka", f"read {partition.topic}-{partition.partition}: {waited}")

    def follow(self, topic: str, last: int) -> Iterator[Record | None]:
        """Yield the committed records that a topic gets from now on, after the `last` of each partition; never ends.

        None after each answer of the brokers, about twice a second, so that the caller can stop.
        """
        partitions = [TopicPartition(*partition) for partition in self.partitions(topic)]
        with translated(f"follow {topic}"):
            self._consumer.assign(partitions)
            ends, begins = self._consumer.end_offsets(partitions), self._consumer.beginning_offsets(partitions)
            for at in partitions:
                self._consumer.seek(at, max(begins[at], ends[at] - last))
        while True:
            with translated(f"follow {topic}"):
                polled = self._consumer.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            for records in polled.values():
                yield from records
            yield None

    def members(self, group_id: str) -> dict[str, int]:
        """Return how many partitions each member of a group has, by the member's id and host."""
        with translated(f"describe group {group_id}"):
            admin = KafkaAdminClient(**client_config(self._settings))
            try:
                return _members(admin.describe_groups([group_id]))
            finally:
                admin.close()

    def retention_ms(self, topic: str) -> int | None:
        """Return how long a topic keeps a record by the record's own time.

        None when it keeps records indefinitely or by the brokers' time, or when we are not allowed to ask.
        """
        kept_ms, policy, timestamp_type = self._retention(topic)
        kept = int(kept_ms or -1)
        if timestamp_type == "LogAppendTime" or "delete" not in (policy or "delete") or kept < 0:
            return None
        return kept

    def compacts(self, topic: str) -> bool | None:
        """Tell whether a topic removes the records of a key before a later one's; None when we may not ask."""
        policy = self._retention(topic)[1]
        return None if policy is None else "compact" in policy

    def _retention(self, topic: str) -> list[str | None]:
        """Return the values of `_RETENTION_CONFIGS`; None for those that are not known."""
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(_RETENTION_CONFIGS))
        with translated(f"{topic}: look up its retention"):
            admin = KafkaAdminClient(**client_config(self._settings))
            try:
                found = admin.describe_configs([asked], config_filter="all")["topic"][topic]
            except (kafka_errors.TopicAuthorizationFailedError, kafka_errors.ClusterAuthorizationFailedError, KeyError):
                found = {}
            finally:
                admin.close()
        return [found.get(name, {}).get("value") for name in _RETENTION_CONFIGS]

    def _offsets_at(self, point: Point, asked: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset at or after a point in time; partitions without one are left out."""
        if point.kind != "time":
            return {}
        found = self._consumer.offsets_for_times(dict.fromkeys(asked, point.value))
        return {at: first.offset for at, first in found.items() if first is not None}


def _members(described: Mapping[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for group in described.values():
        for member in group.get("members", ()):
            assigned = (member.get("member_assignment") or {}).get("assigned_partitions", ())
            count = sum(len(topic["partitions"]) for topic in assigned)
            found[f"{member['member_id'][:48]} at {member['client_host'].lstrip('/')}"] = count
    return found
