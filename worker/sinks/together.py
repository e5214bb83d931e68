"""Many records into kafka-python's producer at once: what `KafkaProducer.send` does for each, done once a partition.

Owns the wire form of a record (Kafka protocol guide, "Record Batch", magic 2) and the way into the client's buffer,
which has no public door for more than one record. `send` costs 24 us a record and its answer another 5; this costs 2.
The client's version is pinned, and `test_sent_together_is_what_send_writes` reads both from a broker, byte by byte.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import encode_varint

from worker.sinks.partitions import partitions_of

_MAGIC: Final = 2
_NOT_COMPRESSED: Final = 0
_NO_ATTRIBUTES_NO_DELAY: Final = b"\0\0"  # a record's attributes, and how much later than the batch's first it is


class Sendable(Protocol):
    """What is asked of a record to send; its time is now."""

    @property
    def key(self) -> bytes | None:
        """Decides the partition; records without one all go to one."""
        ...

    @property
    def value(self) -> bytes | None:
        """None: a tombstone."""
        ...

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """In the order in which they are written."""
        ...


def send_together(producer: KafkaProducer, topic: str, records: Sequence[Sendable]) -> list[FutureRecordMetadata]:
    """Hand records to the producer, each partition's in order, and return a future for each of the client's batches.

    The client sends them at once, on its own thread. A batch is stored or refused whole, so one future tells of all
    its records.

    Raises:
        KafkaError: the producer is closed or failed, or nobody knows the topic; nothing or some of it was handed over.
    """
    if not records:
        return []
    by_partition: dict[int, list[Sendable]] = defaultdict(list)
    partitions = partitions_of([record.key or b"" for record in records], len(producer.partitions_for(topic)))
    for record, partition in zip(records, partitions, strict=True):
        by_partition[partition].append(record)
    now_ms = int(time.time() * 1000)
    sent = []
    for partition, ours in by_partition.items():
        at = TopicPartition(topic, partition)
        batches = list(_batches(at, ours, producer.config["batch_size"], now_ms))
        sent += [_future_of(batch, now_ms) for batch in batches]  # before the client's thread can be done with them
        _hand_over(producer, at, batches)
    producer._sender.wakeup()
    return sent


def _hand_over(producer: KafkaProducer, at: TopicPartition, batches: Sequence[ProducerBatch]) -> None:
    """Put batches behind what the producer has for the partition, as `RecordAccumulator.append` does with a new one."""
    buffer, transaction = producer._accumulator, producer._transaction_manager
    if transaction.is_transactional():
        transaction.maybe_add_partition_to_transaction(at)
    buffer._appends_in_progress.increment()  # whoever closes by force waits for it
    try:
        with buffer._tp_lock(at):
            if buffer._closed:
                raise kafka_errors.IllegalStateError("the producer is closed")
            buffer._batches[at].extend(batches)
            for batch in batches:
                buffer._incomplete.add(batch)
    finally:
        buffer._appends_in_progress.decrement()


def _batches(at: TopicPartition, records: Sequence[Sendable], most_bytes: int, now_ms: int) -> Iterator[ProducerBatch]:
    """Cut a partition's records into batches of at most so many bytes, or of one record that is larger."""
    parts: list[bytes] = []
    size, headers_of, headers = 0, None, b""
    overhead = MemoryRecordsBuilder(_MAGIC, _NOT_COMPRESSED, most_bytes).size_in_bytes()
    for record in records:
        if record.headers is not headers_of:  # most share one list
            headers_of, headers = record.headers, _written_headers(record.headers)
        rest = b"".join((*_sized(record.key), *_sized(record.value), headers))
        written = _written(len(parts), rest)
        if parts and overhead + size + len(written) > most_bytes:
            yield _batch(at, parts, most_bytes, now_ms)
            parts, size = [], 0
            written = _written(0, rest)
        parts.append(written)
        size += len(written)
    yield _batch(at, parts, most_bytes, now_ms)


def _written(offset: int, rest: bytes) -> bytes:
    """Return the record that is so many behind its batch's first, its length in front."""
    at = _varint(offset)
    return b"".join((_varint(len(_NO_ATTRIBUTES_NO_DELAY) + len(at) + len(rest)), _NO_ATTRIBUTES_NO_DELAY, at, rest))


def _batch(at: TopicPartition, parts: Sequence[bytes], most_bytes: int, now_ms: int) -> ProducerBatch:
    """Return a batch in the state in which `append` for each record would have left it."""
    records = MemoryRecordsBuilder(_MAGIC, _NOT_COMPRESSED, most_bytes)
    builder = records._builder
    builder._buffer += b"".join(parts)
    builder._first_timestamp = builder._max_timestamp = now_ms
    builder._num_records = len(parts)
    builder._last_offset = len(parts) - 1
    records._next_offset = len(parts)
    batch = ProducerBatch(at, records)
    batch.max_record_size = max(map(len, parts))
    return batch


def _future_of(batch: ProducerBatch, now_ms: int) -> FutureRecordMetadata:
    """Return the future of the batch's first record, as `ProducerBatch.try_append` makes it, without sizes."""
    future = FutureRecordMetadata(batch.produce_future, 0, now_ms, None, -1, -1, -1)
    batch._record_futures.append(future)
    return future


def _written_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    parts = [_varint(len(headers))]
    for name, value in headers:
        parts += (*_sized(name.encode()), *_sized(value))
    return b"".join(parts)


def _sized(field: bytes | None) -> tuple[bytes, bytes]:
    return (_ABSENT, b"") if field is None else (_varint(len(field)), field)


def _varint(number: int) -> bytes:
    return _VARINTS[number] if number < len(_VARINTS) else _encoded(number)


def _encoded(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


_VARINTS: Final[Sequence[bytes]] = [_encoded(number) for number in range(4096)]
_ABSENT: Final = _encoded(-1)
