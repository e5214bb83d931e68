"""Gives kafka-python's producer whole record batches: what `KafkaProducer.send` does per record, once per partition.

Owns the wire format of a record (Kafka protocol guide, "Record Batch", magic 2) and the way into the client's buffer,
which has no public method for more than one record. The client's version is pinned, and
tests/unit/worker/kafka/python/test_record_batch.py compares the batches with what the client's own `append` makes of
the same records, byte by byte.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import encode_varint

from worker.kafka.python.partitioner import partitions_of

_MAGIC: Final = 2
_NOT_COMPRESSED: Final = 0
_NO_ATTRIBUTES: Final = b"\0"


class Sendable(Protocol):
    """What a record to send must have."""

    @property
    def key(self) -> bytes | None:
        """Decides the partition; records without one are spread."""
        ...

    @property
    def value(self) -> bytes | None:
        """None: a tombstone."""
        ...

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """In the order in which they are written."""
        ...

    @property
    def timestamp_ms(self) -> int | None:
        """Milliseconds since 1970; None: now."""
        ...


class RecordBatchProducer(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """The client's producer, for many records at a time."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        # A batch that a topic refuses as too large fails whole. The client would split it and send the pieces, but its
        # `flush` does not wait for them, and our one future per batch would not cover them.
        self._sender._can_split = lambda *_: False

    def send_all(self, topic: str, records: Sequence[Sendable]) -> list[FutureRecordMetadata]:
        """Take records, each partition's in order, and return a future for each of the client's batches.

        They leave at once, on the client's own thread. A batch is stored or refused whole, so one future covers all its
        records.

        Raises:
            KafkaError: the producer is closed or failed, or the topic is unknown; nothing or some of it was taken.
        """
        if not records:
            return []
        now_ms = int(time.time() * 1000)
        count = len(self.partitions_for(topic))
        partitions = partitions_of([record.key or b"" for record in records], count)
        by_partition: dict[int, list[Sendable]] = defaultdict(list)
        for number, (record, partition) in enumerate(zip(records, partitions, strict=True), start=now_ms):
            by_partition[number % count if record.key is None else partition].append(record)
        sent = []
        for partition, its_records in by_partition.items():
            at = TopicPartition(topic, partition)
            batches = list(batches_of(at, its_records, self.config["batch_size"], now_ms))
            sent += [_future_of(batch) for batch in batches]  # before the client's thread can finish them
            self._take(at, batches)
        self._sender.wakeup()
        return sent

    def _take(self, at: TopicPartition, batches: Sequence[ProducerBatch]) -> None:
        """Queue batches for the partition, as `RecordAccumulator.append` does with a new one."""
        buffer, transaction = self._accumulator, self._transaction_manager
        if transaction.is_transactional():
            transaction.maybe_add_partition_to_transaction(at)
        buffer._appends_in_progress.increment()  # a forced close waits for it
        try:
            with buffer._tp_lock(at):
                if buffer._closed:
                    raise kafka_errors.IllegalStateError("the producer is closed")
                buffer._batches[at].extend(batches)
                for batch in batches:
                    buffer._incomplete.add(batch)
        finally:
            buffer._appends_in_progress.decrement()


def batches_of(
    at: TopicPartition, records: Sequence[Sendable], most_bytes: int, now_ms: int
) -> Iterator[ProducerBatch]:
    """Cut a partition's records into batches of at most `most_bytes`, or of one record that is larger."""
    parts: list[bytes] = []
    stamps: list[int] = []
    size, headers_of, headers = 0, None, b""
    overhead = MemoryRecordsBuilder(_MAGIC, _NOT_COMPRESSED, most_bytes).size_in_bytes()
    for record in records:
        if record.headers is not headers_of:  # most share one list
            headers_of, headers = record.headers, _written_headers(record.headers)
        rest = b"".join((*_sized(record.key), *_sized(record.value), headers))
        stamp = now_ms if record.timestamp_ms is None else record.timestamp_ms
        written = _written(stamp - stamps[0] if stamps else 0, len(parts), rest)
        if parts and overhead + size + len(written) > most_bytes:
            yield _batch(at, parts, stamps, most_bytes)
            parts, stamps, size = [], [], 0
            written = _written(0, 0, rest)
        parts.append(written)
        stamps.append(stamp)
        size += len(written)
    yield _batch(at, parts, stamps, most_bytes)


def _written(later_ms: int, number: int, rest: bytes) -> bytes:
    """Return a record's bytes: length, time and offset relative to the batch's first record, and `rest`."""
    body = b"".join((_NO_ATTRIBUTES, _varint(later_ms), _varint(number), rest))
    return _varint(len(body)) + body


def _batch(at: TopicPartition, parts: Sequence[bytes], stamps: Sequence[int], most_bytes: int) -> ProducerBatch:
    """Return a batch in the state in which `append` for each record would have left it."""
    records = MemoryRecordsBuilder(_MAGIC, _NOT_COMPRESSED, most_bytes)
    builder = records._builder
    builder._buffer += b"".join(parts)
    builder._first_timestamp, builder._max_timestamp = stamps[0], max(stamps)
    builder._num_records = len(parts)
    builder._last_offset = len(parts) - 1
    records._next_offset = len(parts)
    batch = ProducerBatch(at, records)
    batch.max_record_size = max(map(len, parts))
    return batch


def _future_of(batch: ProducerBatch) -> FutureRecordMetadata:
    """Return the future of the batch's first record, as `ProducerBatch.try_append` makes it, without sizes."""
    future = FutureRecordMetadata(batch.produce_future, 0, batch.records._builder._first_timestamp, None, -1, -1, -1)
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
    return _VARINTS[number] if 0 <= number < len(_VARINTS) else _encoded(number)


def _encoded(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


_VARINTS: Final[Sequence[bytes]] = [_encoded(number) for number in range(4096)]
_ABSENT: Final = _encoded(-1)
