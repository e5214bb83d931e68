"""librdkafka's consumer behind the Source port.

Owns positions, what is read again, and what is known of lag. Never decodes a value and never commits by itself: the
delivery does. `group` notes who owns what; `topics` knows which topic it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from worker.clock import Clock
from worker.errors import ServiceError
from worker.kafka.confluent.assignment import rebalance_callbacks, require_member
from worker.kafka.confluent.client import Errors, await_brokers, missing_topic, translate, translated
from worker.kafka.confluent.lag import Watch
from worker.kafka.confluent.messages import Fetched, fetched, has_events
from worker.kafka.confluent.options import consumer_config
from worker.kafka.confluent.topic_ids import TopicIds
from worker.kafka.group import Ownership
from worker.ops.metrics import Metrics
from worker.records import Partition, Record
from worker.settings import WorkerSettings

_STRAYS: Final = 1000  # most records a hold takes, to read them again
# Said in the course of things; what follows from each comes by another way.
_NO_NEWS: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._MAX_POLL_EXCEEDED,
    }
)


class ConfluentSource:
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
        self._membership: Any = None
        self._errors = Errors()
        self._ownership = Ownership(metrics)
        self._watch = Watch(metrics, clock)
        self._topics = TopicIds(settings, self._read_anew)
        self._said: KafkaError | None = None  # in place of a record
        self._changes = 0
        self._wanted: dict[Partition, int] = {}  # to be read again from there, before anything else is read
        self._anew: set[Partition] = set()  # the same from the beginning: of a topic that is another one now
        self._paused: set[Partition] = set()
        with translated("consumer"):
            self._consumer = Consumer(consumer_config(settings, instance_id, self._errors, self._watch.take_statistics))
        await_brokers(self._consumer, lambda: self._consumer.consume(1, 0), self._errors, settings)
        with translated("subscribe"):
            self._consumer.subscribe(settings.input_topics, **rebalance_callbacks(self._ownership))

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return at most so many new records, in offset order per partition; block at most so long.

        Raises:
            ServiceError: the client gave up.
        """
        self._resume()
        self._go_back()
        with translated("poll"):
            messages = self._consumer.consume(max_records, 0)
            if not messages and timeout_s > 0:
                # A call waits until it has as many as it was asked for; so wait for one, then take what is there.
                messages = self._consumer.consume(1, timeout_s)
                if messages and max_records > 1:
                    messages += self._consumer.consume(max_records - 1, 0)
        records = self._take(messages)
        try:
            with translated("poll"):
                # Now, not at commit: an evicted consumer tells generation -1, which the broker would not fence.
                self._membership = self._consumer.consumer_group_metadata()
            self._raise_said()
        except ServiceError:
            self._give_back(records)
            raise
        if messages:
            self._topics.doubt()
        self._watch.observe(self._consumer, self._ownership.owned)
        return records

    def membership(self) -> bytes:
        """Return the group membership under which the last records were polled, for a transaction's commit.

        Raises:
            TransientError: this worker was no member then, its records are another's; or their topic is gone.
        """
        self._topics.verify()
        return require_member(self._membership, self._settings.group_id)

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions lost or revoked since the last call."""
        return self._ownership.take_revoked()

    def not_ready_reason(self) -> str | None:
        """Return why no record can come now; None when records can come."""
        if not self._watch.connected:
            return f"none of {','.join(self._settings.kafka_bootstrap_servers)} answers; trying again"
        if self._ownership.joined:
            return self._watch.stalled()
        try:
            timeout_s = self._settings.request_timeout_s
            reasons = {topic: missing_topic(self._consumer, topic, timeout_s) for topic in self._settings.input_topics}
        except KafkaException as error:
            return f"look for the input topics: {error.args[0].str()}"
        missing = [topic for topic, reason in reasons.items() if reason]
        if missing:
            return f"WORKER_INPUT_TOPICS: {', '.join(missing)}: no such topic on the brokers; create it"
        return f"joining the consumer group {self._settings.group_id}"

    def topic_id(self, topic: str) -> str:
        """Return the brokers' id of a topic's present incarnation (KIP-516); `""` where they tell none.

        Raises:
            ServiceError: the brokers do not answer, or an input topic is not the one it was.
        """
        return self._topics.id_of(topic)

    def offsets_past_markers(self) -> Mapping[Partition, int]:
        """Return positions past markers and aborted records, which no returned record stands for; once a second."""
        return self._watch.passed()

    def rewind(self, positions: Mapping[Partition, int]) -> None:
        """Read each partition that is still owned from the offset given.

        A commit that failed may have been carried out, its answer lost with the broker; so the next poll looks, and
        reads from what is committed if that is further. By then the delivery has ended such a transaction.
        """
        for partition, offset in positions.items():
            if partition in self._ownership.owned:
                self._wanted[partition] = min(offset, self._wanted.get(partition, offset))
                self._watch.forget_ends([partition])

    def hold(self, timeout_s: float) -> None:
        """Block for so long, keeping membership and taking no records.

        Raises:
            ServiceError: the client gave up.
        """
        fresh = self._ownership.owned - self._paused
        with translated("poll"):
            if fresh:
                self._consumer.pause([TopicPartition(*each) for each in fresh])
                self._paused |= fresh
            self._metrics.partitions_paused.set(len(self._paused & self._ownership.owned))
            messages = self._consumer.consume(_STRAYS, timeout_s)
        self._give_back(self._take(messages))  # of partitions assigned during this call, which were not paused
        self._watch.start_over()
        self._raise_said()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the next offset of each partition, for at-least-once delivery.

        Raises:
            ServiceError: not committed.
        """
        if not offsets:
            return
        self._topics.verify()
        wanted = [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
        with translated("commit"):
            require_member(self._consumer.consumer_group_metadata(), self._settings.group_id)
            for each in self._consumer.commit(offsets=wanted, asynchronous=False) or ():
                if each.error is not None:
                    raise KafkaException(each.error)

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that its partitions move at once; the client bounds the wait by itself."""
        del timeout_s
        with translated("close"):
            self._consumer.close()

    def _give_back(self, records: Sequence[Fetched]) -> None:
        """Read again what nobody is given."""
        for record in reversed(records):
            self.rewind({Partition(record.topic, record.partition): record.offset})

    def _raise_said(self) -> None:
        """Raise what the client said beside records.

        Raises:
            ServiceError: that.
        """
        self._errors.raise_final("poll")
        said, self._said = self._said, None
        if said is not None:
            raise translate(said, "poll")

    def _take(self, messages: Sequence[Any]) -> list[Fetched]:
        """Return the records among the messages, and take note of all else that the client told."""
        self._look_after_changes()
        eventful = has_events(messages)
        if eventful:
            messages = [each for each in messages if not self._noted(each)]
        if not messages:
            return []
        records, last = fetched(messages)
        if last.keys() - self._ownership.owned:
            records = [each for each in records if (each.topic, each.partition) in self._ownership.owned]
        if not eventful:
            self._watch.forget_ends(last)
        self._watch.give(last)
        return records

    def _noted(self, message: Any) -> bool:
        """Take note of a message that is none but an event of the client; False for a record."""
        error = message.error()
        at = Partition(message.topic(), message.partition())
        if error is None:
            self._watch.forget_ends([at])  # in the order of the messages: there is more than what ended before
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            if at in self._ownership.owned:
                self._watch.end(at, message.offset())
        elif error.code() not in _NO_NEWS:
            self._errors.note(error)
            self._said = error
        return True

    def _look_after_changes(self) -> None:
        """Forget what is known of partitions that went, and of topics, when the assignment has changed."""
        if self._changes == self._ownership.changes:
            return
        self._changes = self._ownership.changes
        gone = self._ownership.take_gone()
        self._watch.forget(gone)
        self._wanted = {partition: offset for partition, offset in self._wanted.items() if partition not in gone}
        self._anew -= gone

    def _go_back(self) -> None:
        """Carry out what `rewind` asked for.

        Raises:
            ServiceError: not, or not for all; the next call goes on with it.
        """
        for partition in tuple(self._anew):
            with translated("seek"):
                self._consumer.seek(TopicPartition(*partition, OFFSET_BEGINNING))
            self._watch.forget([partition])
            self._wanted.pop(partition, None)
            self._anew.discard(partition)
        if not self._wanted:
            return
        with translated("read committed offsets"):
            committed = self._committed()
            for partition, offset in tuple(self._wanted.items()):
                target = max(offset, committed.get(partition, offset))
                self._consumer.seek(TopicPartition(*partition, target))
                self._watch.went_to(partition, target)
                del self._wanted[partition]

    def _read_anew(self, topic: str) -> None:
        """A topic is another one of the same name: read it from its beginning, unless a new group would not either."""
        if self._settings.auto_offset_reset == "earliest":
            self._anew |= {partition for partition in self._ownership.owned if partition.topic == topic}

    def _committed(self) -> dict[Partition, int]:
        """Return the group's offset of each partition to be read again, once no transaction holds it any more."""
        wanted = [TopicPartition(*partition) for partition in self._wanted]
        found = self._consumer.committed(wanted, timeout=self._settings.request_timeout_s)
        for each in found:
            if each.error is not None:
                raise KafkaException(each.error)
        return {Partition(each.topic, each.partition): each.offset for each in found}

    def _resume(self) -> None:
        """Let go on what was held. What went meanwhile stays noted: when it comes back it is paused still."""
        if held := self._paused & self._ownership.owned:
            with translated("poll"):
                self._consumer.resume([TopicPartition(*each) for each in held])
            self._paused -= held
            self._metrics.partitions_paused.set(0)
