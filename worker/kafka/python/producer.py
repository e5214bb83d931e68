"""kafka-python's producer, behind the Producer protocol of `worker.kafka.outgoing`.

Owns its options, the time limits on the steps of a transaction, and how a producer that failed is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event
from typing import Any, Final

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ACLOperation
from kafka.protocol.metadata import MetadataRequest
from typing_extensions import override

from worker.errors import Refusal, RefusedError, ServiceError
from worker.kafka.connection import connection_hint
from worker.kafka.outgoing import Outgoing, Producer
from worker.kafka.python.client import client_config, make_client, translated
from worker.kafka.python.record_batch import RecordBatchProducer, names_records, refused_of
from worker.records import Partition
from worker.settings import WorkerSettings

_ABORT_MS: Final = 1000
_CLOSE_S: Final = 2.0
_BATCH_BYTES: Final = 128 * 1024  # far below the brokers' max.message.bytes of 1 MB
REFUSALS: Final[Mapping[type[kafka_errors.KafkaError], Refusal]] = {
    kafka_errors.MessageSizeTooLargeError: "size",
    kafka_errors.RecordListTooLargeError: "size",
    kafka_errors.InvalidTimestampError: "time",
    kafka_errors.InvalidRecordError: "record",
}


class BoundedProducer(RecordBatchProducer):
    """The client's producer, except that no step of a transaction waits longer than `max_block_ms`.

    The client's own steps have no time-out, and never return if the broker that coordinates the group crashes and
    another takes over (chaos: `coordinator_moves`).
    """

    def send_offsets(self, offsets: Mapping[Any, Any], group_metadata: Any) -> Callable[[], None]:
        """Send offsets for the transaction without waiting; the function returned waits until they are added.

        That function raises KafkaTimeoutError if no answer comes in time; whether they were added is unknown then.
        """
        result = self._transaction_manager.send_offsets_to_transaction(offsets, group_metadata)
        self._sender.wakeup()
        return partial(self._wait, result, "send the offsets")

    def commit_transaction(self) -> None:
        """End the transaction.

        Raises:
            KafkaTimeoutError: no answer in time; whether it was committed is unknown.
        """
        self._wait(self._transaction_manager.begin_commit(), "commit")

    def abort_transaction(self) -> None:
        """End the transaction without effect.

        Raises:
            KafkaTimeoutError: no answer in time; the brokers abort it later by themselves.
        """
        self._wait(self._transaction_manager.begin_abort(), "abort", _ABORT_MS)

    def require_writable(self, topic: str) -> None:
        """Return if the topic exists and may be written; asks the brokers, whatever the client remembers.

        Raises:
            KafkaError: why not.
        """
        asked = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic)],
            allow_auto_topic_creation=False,
            include_topic_authorized_operations=True,
        )
        manager, done = self._sender._client._manager, Event()
        answer = manager.call_soon(manager.send, asked)  # on the sender's thread, which drives the connections
        answer.add_both(lambda *_: done.set())
        limit_ms = self.config["max_block_ms"]
        if not done.wait(limit_ms / 1000):
            raise kafka_errors.KafkaTimeoutError(f"{topic}: no answer in {limit_ms / 1000:g} s")
        if answer.exception is not None:
            raise answer.exception
        (found,) = answer.value.topics
        error = kafka_errors.for_code(found.error_code)
        if error is not kafka_errors.NoError:
            raise error(topic)
        allowed = found.authorized_operations  # KIP-430; None from brokers before 2.3
        if allowed is not None and ACLOperation.WRITE not in allowed:
            raise kafka_errors.TopicAuthorizationFailedError(f"{topic}: it may be seen, not written")

    def _wait(self, result: Any, doing: str, limit_ms: int | None = None) -> None:
        limit_ms = limit_ms or self.config["max_block_ms"]
        self._sender.wakeup()
        if not result.wait(timeout_ms=limit_ms):
            raise kafka_errors.KafkaTimeoutError(f"{doing}: no answer in {limit_ms / 1000:g} s")


class PythonProducer(Producer):
    """One `BoundedProducer`, and the record batches sent with it; without a `transactional_id` it has no transactions.

    A record batch has at most `batch_bytes`, unless it has one record only.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    failed: Final = False  # the client raises its errors from the calls that wait

    def __init__(
        self, settings: WorkerSettings, transactional_id: str | None = None, batch_bytes: int = _BATCH_BYTES
    ) -> None:
        self._settings = settings
        self._transactional_id = transactional_id
        self._sent: list[tuple[Any, Sequence[Outgoing]]] = []  # a future per record batch, and its records
        self._await_offsets: Callable[[], None] = lambda: None
        config = producer_config(settings)
        config["batch_size"] = min(batch_bytes, _BATCH_BYTES)
        if transactional_id is not None:
            config["transactional_id"] = transactional_id
            config["transaction_timeout_ms"] = round(settings.transaction_timeout_s * 1000)
        with translated(connection_hint(settings)):
            self._producer: BoundedProducer = make_client(BoundedProducer, config)

    @override
    def start(self) -> None:
        if self._transactional_id is not None:
            with translated(connection_hint(self._settings)):
                self._producer.init_transactions()

    @override
    def require_topic(self, topic: str, doing: str) -> None:
        with translated(doing):
            self._producer.require_writable(topic)

    @override
    def begin(self) -> None:
        with translated("transaction"):
            self._producer.begin_transaction()

    def send(self, records: Sequence[Outgoing]) -> None:
        """Take records, each topic's in order; they leave at once, on the client's thread."""
        by_topic: dict[str, list[Outgoing]] = defaultdict(list)
        for record in records:
            by_topic[record.topic].append(record)
        with self._translated("publish"):
            for topic, topic_records in by_topic.items():
                self._sent += self._producer.send_all(topic, topic_records)

    @override
    def flush(self) -> None:
        with self._translated("publish"):
            self._producer.flush(timeout=self._settings.request_timeout_s)
            for future, _ in self._sent:
                if future.exception is not None:
                    raise future.exception
        self._sent = []

    def add_offsets(self, offsets: Mapping[Partition, int], membership: Any) -> None:
        """Send consumed offsets for the transaction; `commit` waits until they are added."""
        to_commit = {TopicPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}
        with self._translated("transaction"):
            self._await_offsets = self._producer.send_offsets(to_commit, membership)

    @override
    def commit(self) -> None:
        with self._translated("transaction"):
            self._await_offsets()
        self.flush()  # before the commit: the client would commit without a batch that it has dropped
        with self._translated("transaction"):
            self._producer.commit_transaction()

    def abort(self) -> None:
        """Abort the transaction; best effort, within one second."""
        with suppress(kafka_errors.KafkaError):
            self._producer.abort_transaction()

    def discard(self) -> None:
        """Close the producer without waiting for the records it holds."""
        close_failed(self._producer)

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        """Translate errors; a refusal that names records comes first, for the other batches only fail along with it.

        Raises:
            RefusedError: of records of one batch, for size, or of all batches that are refused for the same reason.
            ServiceError: instead of any other `KafkaError`.
        """
        try:
            with translated(doing):
                yield
        except ServiceError as error:
            refused = [(future.exception, records) for future, records in self._sent if _refusal(future) is not None]
            if not refused:
                raise
            first, records = refused[0]
            why = REFUSALS[type(first)]
            if why != "size":
                same = [(found, batch) for found, batch in refused if REFUSALS[type(found)] == why]
                records = [record for found, batch in same for record in refused_of(found, batch)]
            exact = len(records) == 1 or all(names_records(found) for found, _ in refused)
            text = f"{records[0].topic}: {len(records)} records: {first}"
            raise RefusedError(why, records, f"{doing}: {text[:300]}", exact=exact) from error


def _refusal(future: Any) -> Refusal | None:
    return REFUSALS.get(type(future.exception)) if future.is_done else None


def close_failed(producer: KafkaProducer) -> None:
    """Close a producer that may have failed, without an abort, which may block as long as the broker is away."""
    try:
        producer.close(timeout=_CLOSE_S)
    except kafka_errors.KafkaError:
        # close() gives up if it cannot flush, and leaves its sender thread running: so end that here. Mark the producer
        # closed, or the garbage collector would close it again and wait for another second.
        producer._sender.force_close()
        producer._closed = True


def producer_config(settings: WorkerSettings) -> dict[str, Any]:
    """Return the producer's options: idempotent, acknowledged by all replicas, one batch per partition at a time."""
    return {
        **client_config(settings),
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,  # `record_batch` sends whole batches, so there is nothing to wait for
        "batch_size": _BATCH_BYTES,
        "retry_backoff_ms": 10,  # the default of 100 ms causes tails of 100 ms
        "max_block_ms": round(settings.request_timeout_s * 1000),
        "delivery_timeout_ms": round(settings.request_timeout_s * 1000) + 2000,
        "allow_auto_create_topics": False,
        "max_request_size": 2 * 1024 * 1024,
    }
