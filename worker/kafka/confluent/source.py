"""The Source port on librdkafka's consumer.

Owns the membership in the group, the positions, and what is read again. Never decodes a value and never commits by
itself: the delivery asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from typing_extensions import override

from worker.clock import Clock
from worker.errors import ServiceError, TransientError
from worker.kafka.confluent.assignment import member_id_of, note_joined, rebalance_callbacks, require_member
from worker.kafka.confluent.client import (
    CallbackErrors,
    await_brokers,
    missing_topic,
    raise_first_error,
    translate,
    translated,
)
from worker.kafka.confluent.lag import LagTracker
from worker.kafka.confluent.messages import has_events, to_records
from worker.kafka.confluent.options import consumer_config
from worker.kafka.confluent.seeks import Seeks
from worker.kafka.confluent.topic_ids import TopicIds
from worker.kafka.group import GroupSource, Ownership
from worker.kafka.progress import OncePerSecond, joining_reason, no_broker_reason
from worker.ops.metrics import Metrics
from worker.records import Partition, PlainRecord, Record, first_offsets, first_records, last_records
from worker.settings import WorkerSettings

_MAX_HOLD_RECORDS: Final = 1000  # taken during a hold, to be read again
# Reported in the normal course of things; the consequence of each is noticed elsewhere.
_IGNORED: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)


class ConfluentSource(GroupSource):
    """A member of the consumer group, a static one when it is given an `instance_id`. One thread only.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings, *, instance_id: str | None, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._metrics = metrics
        self._membership: Any = None
        self._errors = CallbackErrors()
        self.ownership = Ownership(metrics)
        self._lag = LagTracker(metrics, clock)
        self._poll_error: KafkaError | None = None  # returned in place of a record
        self._seen_changes = 0  # of the assignment
        self._seeks = Seeks(settings, self.ownership, self._lag)
        self._topic_ids = TopicIds(settings, self._seeks.restart)
        self._paused: set[Partition] = set()
        self._topic_check = OncePerSecond(clock)  # while it has no partition
        self._missing: str | None = None
        self._instance_id = instance_id
        self._consumer = self._make_consumer()
        await_brokers(self._consumer, lambda: self._consumer.consume(1, 0), self._errors, settings)
        self._subscribed = False

    @override
    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        self._subscribe()
        self._resume()
        self._seeks.carry_out(self._consumer)
        with translated("poll"):
            messages = self._consumer.consume(max_records, 0)
            if not messages and timeout_s > 0:
                # `consume` waits until it has the full number; so wait for one, then take what has arrived.
                messages = self._consumer.consume(1, timeout_s)
                if messages and max_records > 1:
                    messages += self._consumer.consume(max_records - 1, 0)
        records = self._records_of(messages)
        try:
            with translated("poll"):
                # Now, not at the commit: an evicted consumer returns generation -1, which the broker would not fence.
                self._membership = self._consumer.consumer_group_metadata()
                note_joined(self.ownership, self._membership, self._settings)
            self._lose_kept()
            self._raise_errors()
        except ServiceError:
            self._read_again(records)
            raise
        if records:
            self._topic_ids.ask()
        elif messages:  # the end of a partition, up to which markers are committed
            self._topic_ids.mark_unverified()
        self._lag.observe_all(self._consumer, self.ownership.owned)
        return self._note_reads(records)

    @override
    def membership(self) -> bytes:
        self._topic_ids.verify()
        return require_member(self._membership, self._settings.group_id)

    @override
    def take_revoked(self) -> frozenset[Partition]:
        return self.ownership.take_revoked()

    @override
    def not_ready_reason(self) -> str | None:
        if not self._lag.connected:
            return no_broker_reason(self._settings)
        if self.ownership.owned:
            return self._lag.stalled_reason(self.ownership.owned)
        if self.ownership.joined and not self._topic_check.due():
            return self._missing
        topics, timeout_s = self._settings.input_topics, self._settings.request_timeout_s
        try:
            missing = [topic for topic in topics if missing_topic(self._consumer, topic, timeout_s)]
        except KafkaException as error:
            return f"look for the input topics: {error.args[0].str()}"
        # A member whose topic was deleted has joined, too.
        joining = missing or not self.ownership.joined
        self._missing = joining_reason(self._settings.group_id, missing) if joining else None
        return self._missing

    @override
    def topic_id(self, topic: str) -> str:
        return self._topic_ids.id_of(topic)

    @override
    def offsets_past_markers(self) -> Mapping[Partition, int]:
        return self._lag.offsets_past_markers()

    @override
    def rewind(self, positions: Mapping[Partition, int]) -> None:
        self._seeks.rewind(positions)
        self._seeks.check(self.ownership.owned)

    @override
    def hold(self, timeout_s: float) -> None:
        self._subscribe()
        fresh = self.ownership.owned - self._paused
        with translated("poll"):
            if fresh:
                self._consumer.pause([TopicPartition(*partition) for partition in fresh])
                self._paused |= fresh
            self._metrics.partitions_paused.set(len(self._paused & self.ownership.owned))
            messages = self._consumer.consume(_MAX_HOLD_RECORDS, timeout_s)
        # Records of partitions that were assigned during this call, and so were not paused.
        self._read_again(self._records_of(messages))
        self._lag.clear()
        self._raise_errors()

    @override
    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        self._topic_ids.verify()
        to_commit = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
        with translated("commit"):
            require_member(self._consumer.consumer_group_metadata(), self._settings.group_id)
            raise_first_error(self._consumer.commit(offsets=to_commit, asynchronous=False) or ())

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that its partitions move at once; the client bounds the wait by itself."""
        del timeout_s
        with translated("close"):
            self._consumer.close()

    def _read_again(self, records: Sequence[PlainRecord]) -> None:
        """Rewind past records that are not returned."""
        self._seeks.rewind(first_offsets(records))

    def _raise_errors(self) -> None:
        """Raise what the client reported to its callback or in place of a record.

        Raises:
            ServiceError: it reported something.
        """
        if self._errors.take_held():
            self._join_anew()
            self._errors.take_held()  # the end of the old client may have reported it once more
            whose = f"instance id {self._instance_id} is held by an earlier member of group {self._settings.group_id}"
            raise TransientError("kafka", f"{whose} until its session ends; joining again")
        # The brokers' answer does not say that they do not convert this group to KIP-848.
        is_new = self._settings.kafka_group_protocol == "consumer"
        self._errors.raise_fatal("poll (WORKER_KAFKA_GROUP_PROTOCOL: see deploy/README.md)" if is_new else "poll")
        error, self._poll_error = self._poll_error, None
        if error is not None:
            raise translate(error, "poll")

    def _records_of(self, messages: Sequence[Any]) -> list[PlainRecord]:
        """Return the records among the messages, and handle the client's events."""
        self._forget_removed()
        eventful = has_events(messages)
        if eventful:
            messages = [message for message in messages if not self._handle_event(message)]
        if not messages:
            return []
        records, last = to_records(messages)
        if last.keys() - self.ownership.owned:
            records = [record for record in records if (record.topic, record.partition) in self.ownership.owned]
        if not eventful:
            self._lag.drop_ends(last)
        self._lag.returned(last)
        return records

    def _handle_event(self, message: Any) -> bool:
        """Handle a message that is an event of the client; return False for a record."""
        error = message.error()
        at = Partition(message.topic(), message.partition())
        if error is None:
            self._lag.drop_ends([at])  # in the order of the messages: this record is past an end reached before
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            if at in self.ownership.owned:
                self._lag.reached_end(at, message.offset())
                self._seeks.reached_end(at, message.offset())
        elif error.code() not in _IGNORED:
            self._errors.note(error)
            self._poll_error = error
        return True

    def _forget_removed(self) -> None:
        """Forget what is known of partitions that were removed since the assignment last changed."""
        if self._seen_changes == self.ownership.changes:
            return
        self._seen_changes = self.ownership.changes
        removed = self.ownership.take_removed()
        self._lag.drop(removed)
        self._seeks.forget(removed)

    def _subscribe(self) -> None:
        """Join the group at the first poll: the client would join at once, and keep partitions that nobody polls."""
        if not self._subscribed:
            with translated("subscribe"):
                self._consumer.subscribe(self._settings.input_topics, **rebalance_callbacks(self.ownership))
            self._subscribed = True

    def _lose_kept(self) -> None:
        """Go on with a new client if this one has kept partitions from an earlier membership.

        It cannot be made to leave: while it joins, it forgets to unsubscribe if it is to subscribe again.

        Raises:
            TransientError: it has.
        """
        if not self.ownership.kept(member_id_of(self._membership)):
            return
        self._join_anew()
        raise TransientError("kafka", f"removed from group {self._settings.group_id}; joining again")

    def _join_anew(self) -> None:
        """Go on with a new client, which joins at the next poll, and owns nothing until then."""
        before, self._consumer, self._subscribed = self._consumer, self._make_consumer(), False
        self.ownership.remove(self.ownership.owned, "lost")
        self._forget_removed()
        self._paused.clear()
        with translated("leave the group"):
            before.close()

    def _make_consumer(self) -> Any:
        """Return a consumer that has not joined yet."""
        with translated("consumer"):
            config = consumer_config(self._settings, self._instance_id, self._errors, self._lag.on_statistics)
            return Consumer(config)

    def _note_reads(self, records: Sequence[PlainRecord]) -> Sequence[PlainRecord]:
        """Note what was read, and where reading began; return the records without those to be read again."""
        firsts = first_records(records)
        if wrong := self._seeks.misplaced(self._consumer, firsts):
            records = [record for record in records if (record.topic, record.partition) not in wrong]
            firsts = {at: first for at, first in firsts.items() if at not in wrong}
        if records:
            lasts = {at: record.offset for at, record in last_records(records).items()}
            self.ownership.reads.returned(records, firsts, lasts)
        return records

    def _resume(self) -> None:
        """Resume what `hold` paused. librdkafka keeps a partition paused while it is away, so `_paused` does, too."""
        if held := self._paused & self.ownership.owned:
            with translated("poll"):
                self._consumer.resume([TopicPartition(*partition) for partition in held])
            self._paused -= held
            self._metrics.partitions_paused.set(0)
