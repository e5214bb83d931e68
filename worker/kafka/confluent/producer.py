"""librdkafka's producer behind the Delivery port, both modes.

Owns the producer's life. What is published is `worker.kafka.outgoing`'s, the same bytes as with the other client;
keyed records go to the same partitions. After any failure the producer is thrown away: what it still had in hand is
gone with it, and in a transaction the next one's start aborts what this one left open.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from worker.errors import ServiceError, TransientError
from worker.kafka.confluent.client import Errors, await_brokers, bounded, missing_topic, translated
from worker.kafka.confluent.options import producer_config
from worker.kafka.connection import connecting
from worker.kafka.outgoing import Commits, outgoing
from worker.kafka.python.producer import Membership
from worker.ops.logs import Log
from worker.records import Outcome, Partition
from worker.settings import WorkerSettings
from worker.stream.ports import nothing

_ABORT_S: Final = 1.0
_GRACE_S: Final = 1.0  # beyond the time-out the client was given, before it is not waited for any longer
_LEAST_START_S: Final = 5.0  # while the brokers abort a predecessor's transaction, the client asks twice a second
_ANY_PARTITION: Final = -1  # the key decides


class ConfluentAtLeastOnce:
    """Publishes, waits until all replicas have it, then commits: a crash in between publishes again."""

    def __init__(self, settings: WorkerSettings, consumer: Commits) -> None:
        self._settings = settings
        self._consumer = consumer
        self._outlet: _Outlet | None = None
        self._ready()

    def commit(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        """Publish the outcomes in order once they are `stored`, then commit the offsets; return once all is durable.

        Raises:
            ServiceError: the offsets are not committed; the caller rewinds.
        """
        outlet = self._ready()
        stored()
        try:
            outlet.send(settled)
            outlet.flush()
        except ServiceError:
            self._outlet = None
            outlet.discard()
            raise
        self._consumer.commit(offsets)

    def ping(self) -> None:
        """Return if the brokers answer and know both topics.

        Raises:
            ServiceError: they do not.
        """
        self._ready().require_topics()

    def close(self, timeout_s: float) -> None:
        """Give the client back; nothing waits in it between two commits."""
        del timeout_s
        if self._outlet is not None:
            self._outlet.discard()
            self._outlet = None

    def _ready(self) -> _Outlet:
        if self._outlet is None:
            self._outlet = _Outlet(self._settings)
        return self._outlet


class ConfluentExactlyOnce:
    """Publishes and commits in one transaction; a reader with `read_committed` sees each outcome once.

    Args:
        settings: brokers, topics and time-outs.
        consumer: tells the membership to commit under.
        transactional_id: this process's, the same after a restart, so that what a crash left open is aborted at once.
        log: tells of producers that had to be replaced.
    """

    def __init__(self, settings: WorkerSettings, consumer: Membership, transactional_id: str, log: Log) -> None:
        self._settings = settings
        self._consumer = consumer
        self._transactional_id = transactional_id
        self._log = log
        self._outlet: _Outlet | None = None
        self._ready()

    def commit(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        """Publish the outcomes in order and commit the offsets in one transaction, and return once it is committed.

        Waits for what is `stored` with the transaction open, so that the store works while records are sent.

        Raises:
            ServiceError: nothing of it is visible to a reader with `read_committed`; the caller rewinds.
        """
        membership = self._consumer.membership()
        outlet = self._ready()
        try:
            outlet.begin()
            outlet.send(settled)
            stored()
            outlet.end(offsets, membership)
        except ServiceError as error:
            self._log(logging.WARNING, "transaction_failed", reason=str(error))
            self._outlet = None
            outlet.abort()
            outlet.discard()
            raise

    def ping(self) -> None:
        """Return if the brokers answer, transactions can begin, and both topics are there.

        Raises:
            ServiceError: they do not.
        """
        self._ready().require_topics()

    def close(self, timeout_s: float) -> None:
        """Give the client back; no transaction is open between two commits."""
        del timeout_s
        if self._outlet is not None:
            self._outlet.discard()
            self._outlet = None

    def _ready(self) -> _Outlet:
        """Return the outlet, making one when there is none; its start aborts and fences its predecessor's.

        One that lost a connection is not used again: after a restart of the broker librdkafka 2.16 may wait in
        `send_offsets_to_transaction` for ever, whatever its time-out.
        """
        if self._outlet is not None and self._outlet.shaken:
            self._outlet.discard()
            self._outlet = None
        if self._outlet is None:
            outlet = _Outlet(self._settings, self._transactional_id)
            try:
                outlet.start()
            except ServiceError:
                outlet.discard()
                raise
            self._outlet = outlet
        return self._outlet


class _Outlet:
    """One producer, and what went wrong in it.

    No frame but its own methods' ever holds the producer, so that `discard` ends it there and then.
    """

    def __init__(self, settings: WorkerSettings, transactional_id: str | None = None) -> None:
        self._settings = settings
        self._timeout_s = settings.request_timeout_s
        self._errors = Errors()
        self._refused: list[KafkaError] = []  # records the brokers did not take
        with translated("producer"):
            config = producer_config(settings, transactional_id, self._errors)
            if transactional_id is None:
                config |= {"on_delivery": self._note_refusal, "delivery.report.only.error": True}
            self._producer: Any = Producer(config)
        await_brokers(self._producer, lambda: self._producer.poll(0), self._errors, settings)

    def start(self) -> None:
        """Begin the life of the transactional id: abort and fence whoever had it before."""
        with translated(connecting(self._settings)):
            self._producer.init_transactions(max(self._timeout_s, _LEAST_START_S))
        self._errors.forget()

    @property
    def shaken(self) -> bool:
        """Whether the producer told an error since its start, such as a connection that broke."""
        self._producer.poll(0)
        return bool(self._errors.last)

    def begin(self) -> None:
        """Begin a transaction."""
        with translated("transaction"):
            self._producer.begin_transaction()

    def send(self, settled: Sequence[Outcome]) -> None:
        """Hand the outcomes to the producer, in order."""
        settings, produce = self._settings, self._producer.produce
        try:
            with translated("publish"):
                for each in settled:
                    record = outgoing(each, settings)
                    produce(
                        record.topic,
                        record.value,
                        record.key,
                        _ANY_PARTITION,
                        None,
                        None,
                        record.timestamp_ms or 0,  # 0 is now
                        record.headers,
                    )
        finally:
            del produce

    def flush(self) -> None:
        """Wait until the brokers have everything.

        Raises:
            ServiceError: they have not.
        """
        with translated("publish"):
            left = self._producer.flush(self._timeout_s)
            if self._refused:
                raise KafkaException(self._refused[0])
        if left:
            raise TransientError("kafka", f"publish: {left} records were not taken in {self._timeout_s:g} s")

    def end(self, offsets: Mapping[Partition, int], membership: Any) -> None:
        """Put the offsets into the transaction, and commit it.

        Raises:
            ServiceError: it is not, or nobody knows.
        """
        wanted = [TopicPartition(*at, offset) for at, offset in offsets.items()]

        def finish() -> None:
            self._producer.send_offsets_to_transaction(wanted, membership, self._timeout_s)
            if self._producer is not None:  # given up meanwhile
                self._producer.commit_transaction(self._timeout_s)

        with translated("transaction"):
            bounded(finish, self._timeout_s + _GRACE_S, "transaction")

    def require_topics(self) -> None:
        """Return if the output topics are there.

        Raises:
            ServiceError: they are not, or the brokers do not answer.
        """
        for variable, topic in (
            ("WORKER_OUTPUT_TOPIC", self._settings.output_topic),
            ("WORKER_DEAD_LETTER_TOPIC", self._settings.dead_letter_topic),
        ):
            doing = f"{variable}={topic}: does the topic exist, and may we write it?"
            with translated(doing):
                reason = missing_topic(self._producer, topic, self._timeout_s)
            if reason is not None:
                raise TransientError("kafka", f"{doing}: {reason}")

    def abort(self) -> None:
        """Try for a moment to abort what is open; the next producer's start does it otherwise, and takes longer.

        Where nobody knows whether a commit was carried out, the client refuses to.
        """
        with suppress(KafkaException, TransientError):
            bounded(lambda: self._producer.abort_transaction(_ABORT_S), _ABORT_S + _GRACE_S, "abort")

    def discard(self) -> None:
        """End the producer with whatever it holds. Its own `close` would wait for the brokers, for ever."""
        self._producer = None

    def _note_refusal(self, error: KafkaError, _message: object) -> None:
        self._refused.append(error)
