"""librdkafka's producer, behind the Producer protocol of `worker.kafka.outgoing`.

Owns the bounds on waits that librdkafka does not bound by itself. Keyed records go to the same partitions as with
kafka-python. After a failure the producer is discarded with the records it still holds; if it has an open transaction,
the start of the next producer aborts that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from typing_extensions import override

from worker.errors import Refusal, RefusedError, ServiceError, TransientError
from worker.kafka.confluent.client import (
    CallbackErrors,
    await_brokers,
    call_with_timeout,
    may_write,
    missing_topic,
    translated,
)
from worker.kafka.confluent.options import MOST_BYTES, client_config, producer_config
from worker.kafka.connection import connection_hint
from worker.kafka.outgoing import Outgoing, size_of
from worker.kafka.outgoing import Producer as ProducerPort
from worker.records import Partition
from worker.settings import WorkerSettings

_ABORT_S: Final = 1.0
_GRACE_S: Final = 1.0  # beyond the time-out that the client was given
_REPORTS_S: Final = 1.0  # a refused record fails the transaction a moment before the client reports the record
_LEAST_START_S: Final = 5.0  # while the brokers abort a predecessor's transaction, the client retries twice a second
_REFUSALS: Final[Mapping[int, Refusal]] = {
    KafkaError.MSG_SIZE_TOO_LARGE: "size",
    KafkaError.RECORD_LIST_TOO_LARGE: "size",
    KafkaError.INVALID_TIMESTAMP: "time",
    KafkaError.INVALID_RECORD: "record",
}
_ANY_PARTITION: Final = -1  # the key decides


class ConfluentProducer(ProducerPort):
    """One producer, and the errors that it reported; without a `transactional_id` it has no transactions.

    No reference to the client's producer outlives a method's call, so that `discard` ends it at once.

    A record batch has at most `batch_bytes`, unless it has one record only.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(
        self, settings: WorkerSettings, transactional_id: str | None = None, batch_bytes: int = 1_000_000
    ) -> None:
        self._settings = settings
        self._transactional_id = transactional_id
        self._timeout_s = settings.request_timeout_s
        self._errors = CallbackErrors()
        self._sent: Sequence[Outgoing] = ()
        self._failed: list[tuple[KafkaError, Any]] = []  # one for each record that the brokers did not take
        self._offsets: tuple[list[TopicPartition], Any] = ([], None)
        self._in_transaction = False
        with translated("producer"):
            config = producer_config(settings, transactional_id, self._errors)
            config |= {"on_delivery": self._note_failure, "delivery.report.only.error": True, "batch.size": batch_bytes}
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

    @override
    def start(self) -> None:
        if self._transactional_id is not None:
            with translated(connection_hint(self._settings)):
                self._producer.init_transactions(max(self._timeout_s, _LEAST_START_S))
            self._errors.clear_last()

    @override
    def require_topic(self, topic: str, doing: str) -> None:
        with translated(doing):
            reason = missing_topic(self._producer, topic, self._timeout_s)
            if reason is None:
                admin = AdminClient(client_config(self._settings, self._errors))
                reason = None if may_write(admin, topic, self._timeout_s) else "it may be seen, not written"
        if reason is not None:
            raise TransientError("kafka", f"{doing}: {reason}")

    @override
    def begin(self) -> None:
        with translated("transaction"):
            self._producer.begin_transaction()
        self._in_transaction = True

    @override
    def send(self, records: Sequence[Outgoing]) -> None:
        produce = self._producer.produce
        self._sent, self._failed = records, []
        record = None
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
        except ServiceError as error:
            if record is not None and size_of(record) >= MOST_BYTES:  # the client refuses it itself
                raise RefusedError("size", [record], str(error)) from error
            if self._in_transaction:  # what was sent is under way, and a refusal of it forbids any further record
                self._raise_refused(_REPORTS_S)
                self._errors.raise_fenced("publish")  # `produce` says only that the producer has ended
            raise
        finally:
            del produce

    @override
    def flush(self) -> None:
        with translated("publish"):
            unsent = self._producer.flush(self._timeout_s)
            self._raise_refused()
            if self._failed:
                raise KafkaException(self._failed[0][0])
        if unsent:
            raise TransientError("kafka", f"publish: {unsent} records were not acknowledged in {self._timeout_s:g} s")

    def add_offsets(self, offsets: Mapping[Partition, int], membership: Any) -> None:
        """Keep consumed offsets for `commit`, because the client's call blocks."""
        self._offsets = [TopicPartition(*at, offset) for at, offset in offsets.items()], membership

    def commit(self) -> None:
        """Add the offsets to the transaction, and commit it."""
        offsets, membership = self._offsets

        def finish() -> None:
            self._producer.send_offsets_to_transaction(offsets, membership, self._timeout_s)
            if self._producer is not None:  # not discarded meanwhile
                self._producer.commit_transaction(self._timeout_s)

        try:
            with translated("transaction"):
                call_with_timeout(finish, self._timeout_s + _GRACE_S, "transaction")
        except ServiceError as error:
            # A refusal may be the cause: then the transaction has failed before. Without an answer the wait is over.
            self._raise_refused(_REPORTS_S if isinstance(error.__cause__, KafkaException) else 0.0)
            raise
        self._in_transaction = False

    def abort(self) -> None:
        """Abort the transaction; best effort, within two seconds: otherwise the start of the next producer does it.

        The client refuses if it is unknown whether a commit was carried out.
        """
        self._in_transaction = False
        with suppress(KafkaException, TransientError):
            call_with_timeout(lambda: self._producer.abort_transaction(_ABORT_S), _ABORT_S + _GRACE_S, "abort")

    def discard(self) -> None:
        """Drop the producer and its records; its own `close` would wait for the brokers indefinitely."""
        if self._in_transaction:
            self.abort()
        self._producer = None

    def _note_failure(self, error: KafkaError, message: Any) -> None:
        self._failed.append((error, message))

    def _refused(self) -> list[tuple[Refusal, KafkaError, Any]]:
        """Return the records that were reported as refused, with the reason."""
        return [
            (_REFUSALS[error.code()], error, message) for error, message in self._failed if error.code() in _REFUSALS
        ]

    def _raise_refused(self, wait_s: float = 0.0) -> None:
        """Raise the refusal that names records, if one is reported: the other records only fail along with those.

        Raises:
            RefusedError: of records of one partition, for size, or of all that are refused for the same reason.
        """
        deadline = monotonic() + wait_s
        try:
            self._producer.poll(0)  # reports what failed before the call that says so
            while not self._refused() and (left := deadline - monotonic()) > 0:
                self._producer.poll(left)
        except KafkaException as error:  # a fatal error is raised here, once, and not reported to its callback
            self._errors.note(error.args[0])
        failed = self._refused()
        if not failed:
            return
        why, first, one = failed[0]
        at = (one.topic(), one.partition())
        same = [
            (message.topic(), message.key() or b"", message.value() or b"")
            for other, _, message in failed
            if other == why and (why != "size" or (message.topic(), message.partition()) == at)
        ]
        records = []
        for record in self._sent:
            content = (record.topic, record.key or b"", record.value or b"")
            if content in same:
                same.remove(content)
                records.append(record)
        # librdkafka does not say which records of a record batch the brokers named.
        text = f"publish: {one.topic()}: {len(records)} records: {first.str()[:200]}"
        raise RefusedError(why, records, text, exact=len(records) == 1)
