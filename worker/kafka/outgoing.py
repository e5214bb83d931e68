"""The output side of Kafka behind the Delivery port: ratings, dead letters, tombstones, and the commit of offsets.

Owns the form of what is published. `AtLeastOnce` publishes, waits for every acknowledgement, then commits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from schemas.dead_letter import OWN
from schemas.rating import CONTENT_TYPE
from worker.errors import ServiceError
from worker.kafka.connection import connecting
from worker.kafka.python.client import client_config, make_client, translated
from worker.kafka.python.record_batch import WholesaleProducer
from worker.records import Deleted, Outcome, Partition, Rated, Record
from worker.settings import WorkerSettings
from worker.stream.ports import nothing

_CLOSE_S: Final = 2.0
_RATING_HEADERS: Final = [("content-type", CONTENT_TYPE)]  # shared by all records, so nobody may change it
_BATCH_BYTES: Final = 128 * 1024  # far below the brokers' max.message.bytes of 1 MB
_TOO_LARGE: Final = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
_TRACE_HEADERS: Final = ("traceparent", "tracestate")


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None


class Commits(Protocol):
    """What at-least-once delivery asks of the consumer."""

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the next offset of each partition."""
        ...


class AtLeastOnce:
    """Publishes, waits until all replicas have it, then commits: a crash in between publishes again.

    After a failure the producer is thrown away: one whose broker crashed at the wrong moment never sends again.
    """

    def __init__(self, settings: WorkerSettings, consumer: Commits) -> None:
        self._settings = settings
        self._consumer = consumer
        self._producer: WholesaleProducer | None = None
        self._ready()

    def commit(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        """Publish the outcomes in order once they are `stored`, then commit the offsets; return once all is durable.

        Raises:
            ServiceError: the offsets are not committed; the caller rewinds.
        """
        producer = self._ready()
        stored()
        try:
            with translated("publish"), explained(self._settings):
                sent = publish(producer, settled, self._settings)
                await_acknowledged(producer, sent, self._settings.request_timeout_s)
        except ServiceError:
            self._producer = None
            close_failed(producer)
            raise
        self._consumer.commit(offsets)

    def ping(self) -> None:
        """Return if the brokers answer and know both topics.

        Raises:
            ServiceError: they do not.
        """
        require_topics(self._ready(), self._settings)

    def close(self, timeout_s: float) -> None:
        """Give the client back."""
        if self._producer is not None:
            with translated("close"):
                self._producer.close(timeout=timeout_s)
            self._producer = None

    def _ready(self) -> WholesaleProducer:
        if self._producer is None:
            with translated(connecting(self._settings)):
                self._producer = make_client(WholesaleProducer, producer_config(self._settings))
        return self._producer


def publish(producer: WholesaleProducer, settled: Sequence[Outcome], settings: WorkerSettings) -> list[Any]:
    """Hand the outcomes to the producer, each topic's in order, and return a future for each of its batches.

    Raises:
        KafkaError: the producer took no more; what was handed over before may be sent.
    """
    by_topic: dict[str, list[Outgoing]] = defaultdict(list)
    for each in settled:
        record = outgoing(each, settings)
        by_topic[record.topic].append(record)
    return [future for topic, records in by_topic.items() for future in producer.send_together(topic, records)]


def await_acknowledged(producer: WholesaleProducer, sent: Sequence[Any], timeout_s: float) -> None:
    """Wait until the brokers have all that was handed over.

    Raises:
        KafkaError: they refused some of it, or did not answer in time.
    """
    producer.flush(timeout=timeout_s)
    for future in sent:
        if future.exception is not None:
            raise future.exception


@contextmanager
def explained(settings: WorkerSettings) -> Iterator[None]:
    """Say what to do about a refusal that the client only names."""
    try:
        yield
    except _TOO_LARGE as error:
        raise kafka_errors.MessageSizeTooLargeError(
            f"max.message.bytes of {settings.output_topic} or {settings.dead_letter_topic} is below a batch of "
            f"{_BATCH_BYTES} bytes, or a record is larger: raise it"
        ) from error


def close_failed(producer: KafkaProducer) -> None:
    """Close a producer that failed; no abort, which may block for as long as the broker is away."""
    try:
        producer.close(timeout=_CLOSE_S)
    except kafka_errors.KafkaError:
        # close() gives up when it can not flush, and leaves its sender thread running: end it by hand. Python would
        # close it again when it is collected, and wait for another second.
        producer._sender.force_close()
        producer._closed = True


def outgoing(settled: Outcome, settings: WorkerSettings) -> Outgoing:
    """Return what is published for an outcome: a rating, a tombstone, or a dead letter."""
    record = settled.record
    if isinstance(settled, Rated):
        headers = [*_RATING_HEADERS, *_trace(record)] if record.headers else _RATING_HEADERS
        return Outgoing(settings.output_topic, settled.rating.review_id.encode(), settled.value, headers, None)
    if isinstance(settled, Deleted):
        return Outgoing(settings.output_topic, settled.review_id.encode(), None, _trace(record), None)
    # The original's time, so that a dead letter can be replayed as what it was.
    timestamp_ms = record.timestamp if record.timestamp >= 0 else None
    headers = settled.letter.headers([(name, value or b"") for name, value in record.headers])
    # Our headers make a letter larger than its record, and the brokers would refuse it for ever. What is cut is still
    # where the headers say it came from.
    if _size(headers) > settings.max_message_bytes // 2:
        headers = [*settled.letter.headers([]), (f"{OWN}dropped-headers", str(len(record.headers)).encode())]
    room = settings.max_message_bytes - _size(headers) - len(record.key or b"")
    value = record.value
    if value is not None and len(value) > room:
        headers.append((f"{OWN}truncated-from-bytes", str(len(value)).encode()))
        value = value[: max(room, 0)]
    return Outgoing(settings.dead_letter_topic, record.key, value, headers, timestamp_ms)


def _size(headers: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def require_topics(producer: KafkaProducer, settings: WorkerSettings) -> None:
    """Return if the output topics are there.

    Raises:
        ServiceError: they are not, or the brokers do not answer.
    """
    for variable, topic in (
        ("WORKER_OUTPUT_TOPIC", settings.output_topic),
        ("WORKER_DEAD_LETTER_TOPIC", settings.dead_letter_topic),
    ):
        with translated(f"{variable}={topic}: does the topic exist, and may we write it?"):
            producer.partitions_for(topic)


def producer_config(settings: WorkerSettings) -> dict[str, Any]:
    """Return the producer's options: idempotent, acknowledged by all replicas, one batch a partition at a time."""
    return {
        **client_config(settings),
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 0,  # batches come whole (`together.py`), so there is nothing to wait for
        "batch_size": _BATCH_BYTES,
        "retry_backoff_ms": 10,  # the default of 100 ms makes tails of 100 ms
        "max_block_ms": round(settings.request_timeout_s * 1000),
        "delivery_timeout_ms": round(settings.request_timeout_s * 1000) + 2000,
        "allow_auto_create_topics": False,
        "max_request_size": 2 * 1024 * 1024,
    }


def _trace(record: Record) -> list[tuple[str, bytes]]:
    return [(name, value or b"") for name, value in record.headers if name in _TRACE_HEADERS]
