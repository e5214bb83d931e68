"""librdkafka's producer, behind the Producer protocol of `worker.kafka.delivery`.

Owns the waits that librdkafka does not bound by itself. Keyed records go to the same partitions as with kafka-python.
After a failure the producer is thrown away: what it still holds is lost with it, and in a transaction the start of the
next producer aborts what this one left open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from worker.errors import TransientError
from worker.kafka.confluent.client import Errors, await_brokers, bounded, missing_topic, translated
from worker.kafka.confluent.options import producer_config
from worker.kafka.connection import connecting
from worker.kafka.outgoing import Outgoing
from worker.records import Partition
from worker.settings import WorkerSettings

_ABORT_S: Final = 1.0
_GRACE_S: Final = 1.0  # beyond the time-out that the client was given
_LEAST_START_S: Final = 5.0  # while the brokers abort a predecessor's transaction, the client asks twice a second
_ANY_PARTITION: Final = -1  # the key decides


class ConfluentProducer:
    """One producer, and what went wrong in it.

    Only its own methods' frames ever hold the client's producer, so that `discard` ends it there and then.

    Args:
        settings: brokers and time-outs.
        transactional_id: None for a producer without transactions.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings, transactional_id: str | None = None) -> None:
        self._settings = settings
        self._transactional_id = transactional_id
        self._timeout_s = settings.request_timeout_s
        self._errors = Errors()
        self._refused: list[KafkaError] = []  # records that the brokers did not take
        self._offsets: tuple[list[TopicPartition], Any] = ([], None)
        self._in_transaction = False
        with translated("producer"):
            config = producer_config(settings, transactional_id, self._errors)
            if transactional_id is None:
                config |= {"on_delivery": self._note_refusal, "delivery.report.only.error": True}
            self._producer: Any = Producer(config)
        await_brokers(self._producer, lambda: self._producer.poll(0), self._errors, settings)

    @property
    def failed(self) -> bool:
        """Whether a transactional producer reported an error since its start, such as a broken connection.

        After a restart of the broker librdkafka 2.16 may wait in `send_offsets_to_transaction` indefinitely, whatever
        its time-out.
        """
        if self._transactional_id is None:
            return False
        self._producer.poll(0)
        return bool(self._errors.last)

    def start(self) -> None:
        """Fence the predecessor with the same transactional id, and abort what it left open.

        Raises:
            ServiceError: the brokers do not answer or refuse.
        """
        if self._transactional_id is not None:
            with translated(connecting(self._settings)):
                self._producer.init_transactions(max(self._timeout_s, _LEAST_START_S))
            self._errors.forget()

    def require_topic(self, topic: str, doing: str) -> None:
        """Return if a topic can be written; `doing` begins the error's text.

        Raises:
            ServiceError: it cannot, or the brokers do not answer.
        """
        with translated(doing):
            reason = missing_topic(self._producer, topic, self._timeout_s)
        if reason is not None:
            raise TransientError("kafka", f"{doing}: {reason}")

    def begin(self) -> None:
        """Begin a transaction.

        Raises:
            ServiceError: the client refuses.
        """
        with translated("transaction"):
            self._producer.begin_transaction()
        self._in_transaction = True

    def send(self, records: Sequence[Outgoing]) -> None:
        """Take records, in order.

        Raises:
            ServiceError: the client refused one, or its queue is full.
        """
        produce = self._producer.produce
        try:
            with translated("publish"):
                for record in records:
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
        """Return once the brokers have everything that was sent.

        Raises:
            ServiceError: they have not.
        """
        with translated("publish"):
            left = self._producer.flush(self._timeout_s)
            if self._refused:
                raise KafkaException(self._refused[0])
        if left:
            raise TransientError("kafka", f"publish: {left} records were not taken in {self._timeout_s:g} s")

    def add_offsets(self, offsets: Mapping[Partition, int], membership: Any) -> None:
        """Keep consumed offsets for `commit`: the client's call for them blocks."""
        self._offsets = [TopicPartition(*at, offset) for at, offset in offsets.items()], membership

    def commit(self) -> None:
        """Add the offsets to the transaction, and commit it.

        Raises:
            ServiceError: it is not committed, or the answer was lost.
        """
        offsets, membership = self._offsets

        def finish() -> None:
            self._producer.send_offsets_to_transaction(offsets, membership, self._timeout_s)
            if self._producer is not None:  # not discarded meanwhile
                self._producer.commit_transaction(self._timeout_s)

        with translated("transaction"):
            bounded(finish, self._timeout_s + _GRACE_S, "transaction")
        self._in_transaction = False

    def abort(self) -> None:
        """Abort the transaction; best effort, within a moment: the start of the next producer does it otherwise.

        If it is unknown whether a commit was carried out, the client refuses to.
        """
        self._in_transaction = False
        with suppress(KafkaException, TransientError):
            bounded(lambda: self._producer.abort_transaction(_ABORT_S), _ABORT_S + _GRACE_S, "abort")

    def discard(self) -> None:
        """End the producer with whatever it holds; its own `close` would wait for the brokers indefinitely."""
        if self._in_transaction:
            self.abort()
        self._producer = None

    def _note_refusal(self, error: KafkaError, _message: object) -> None:
        self._refused.append(error)
