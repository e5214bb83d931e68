"""Hands kafka-python's producer whole record batches: `KafkaProducer.send` works per record, this per partition.

Owns the wire format of a record (Kafka protocol guide, "Record Batch", magic 2) and the access to the client's buffer,
which has no public method for more than one record. The client's version is pinned, and
tests/unit/worker/kafka/python/test_record_batch.py compares the batches byte by byte with those that the client's own
`append` makes from the same records.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import encode_varint

from worker.kafka.outgoing import Outgoing
from worker.kafka.python.partitioner import partitions_of

_MAGIC: Final = 2
_NOT_COMPRESSED: Final = 0
_NO_ATTRIBUTES: Final = b"\0"


_INDEXES: Final = "refused_indexes"


class RecordBatchProducer(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """The client's producer, which takes many records at a time."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        # Let a batch that a topic refuses as too large fail whole. The client would split it and send the pieces, but
        # its `flush` does not wait for them, and our one future per batch would not cover them.
        self._sender._can_split = lambda *_: False
        self._sender._record_exceptions_fn = _with_refused_indexes

    def send_all(
        self, topic: str, records: Sequence[Outgoing]
    ) -> list[tuple[FutureRecordMetadata, Sequence[Outgoing]]]:
        """Take records, each partition's in order, and return the client's batches: a future, and the batch's records.

        The client sends them at once, on its own thread. A batch is stored or refused whole, so one future covers all
        its records.

        Raises:
            KafkaError: the producer is closed or failed, or the topic is unknown; some records may have been taken.
        """
        if not records:
            return []
        now_ms = int(time.time() * 1000)
        count = len(self.partitions_for(topic))
        partitions = partitions_of([record.key or b"" for record in records], count)
        by_partition: dict[int, list[Outgoing]] = defaultdict(list)
        for number, (record, partition) in enumerate(zip(records, partitions, strict=True), start=now_ms):
            by_partition[number % count if record.key is None else partition].append(record)
        sent: list[tuple[FutureRecordMetadata, Sequence[Outgoing]]] = []
        for partition, partition_records in by_partition.items():
            at = TopicPartition(topic, partition)
            batches = list(batches_of(at, partition_records, self.config["batch_size"], now_ms))
            end = 0
            for batch in batches:
                start, end = end, end + batch.record_count
                # The future before the client's thread can complete it.
                sent.append((_future_of(batch), partition_records[start:end]))
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


def refused_of(error: Exception, records: Sequence[Outgoing]) -> Sequence[Outgoing]:
    """Return which records of a batch the brokers refused; all, when they do not say."""
    return [records[index] for index in getattr(error, _INDEXES, ()) if index < len(records)] or records


def names_records(error: Exception) -> bool:
    """Whether the brokers said which records of the batch they refused."""
    return bool(getattr(error, _INDEXES, ()))


def _with_refused_indexes(error: Exception, record_errors: Sequence[Any], _message: str) -> Callable[[int], Exception]:
    """Note in a batch's error which of its records are at fault (KIP-467), in place of the client's own method.

    The client's own loses the kind of the error when several are, and our single future per batch sees the first only.
    """
    setattr(error, _INDEXES, sorted(found.batch_index for found in record_errors or ()))
    return lambda _index: error


def batches_of(at: TopicPartition, records: Sequence[Outgoing], max_bytes: int, now_ms: int) -> Iterator[ProducerBatch]:
    """Split a partition's records into batches of up to `max_bytes`; a larger record is a batch by itself."""
    encoded_records: list[bytes] = []
    timestamps: list[int] = []
    size, headers_of, headers = 0, None, b""
    overhead = MemoryRecordsBuilder(_MAGIC, _NOT_COMPRESSED, max_bytes).size_in_bytes()
    for record in records:
        if record.headers is not headers_of:  # most records share one list
            headers_of, headers = record.headers, _encoded_headers(record.headers)
        rest = b"".join((*_sized(record.key), *_sized(record.value), headers))
        timestamp = now_ms if record.timestamp_ms is None else record.timestamp_ms
        encoded = _encoded_record(timestamp - timestamps[0] if timestamps else 0, len(encoded_records), rest)
        if encoded_records and overhead + size + len(encoded) > max_bytes:
            yield _batch(at, encoded_records, timestamps, max_bytes)
            encoded_records, timestamps, size = [], [], 0
            encoded = _encoded_record(0, 0, rest)
        encoded_records.append(encoded)
        timestamps.append(timestamp)
        size += len(encoded)
    yield _batch(at, encoded_records, timestamps, max_bytes)


def _encoded_record(timestamp_delta_ms: int, offset_delta: int, rest: bytes) -> bytes:
    """Return a record's bytes; the deltas are relative to the batch's first record."""
    body = b"".join((_NO_ATTRIBUTES, _varint(timestamp_delta_ms), _varint(offset_delta), rest))
    return _varint(len(body)) + body


def _batch(
    at: TopicPartition, encoded_records: Sequence[bytes], timestamps: Sequence[int], max_bytes: int
) -> ProducerBatch:
    """Return a batch in the state in which `append` for each record would have left it."""
    records = MemoryRecordsBuilder(_MAGIC, _NOT_COMPRESSED, max_bytes)
    builder = records._builder
    builder._buffer += b"".join(encoded_records)
    builder._first_timestamp, builder._max_timestamp = timestamps[0], max(timestamps)
    builder._num_records = len(encoded_records)
    builder._last_offset = len(encoded_records) - 1
    records._next_offset = len(encoded_records)
    batch = ProducerBatch(at, records)
    batch.max_record_size = max(map(len, encoded_records))
    return batch


def _future_of(batch: ProducerBatch) -> FutureRecordMetadata:
    """Return the future of the batch's first record, as `ProducerBatch.try_append` makes it, without sizes."""
    future = FutureRecordMetadata(batch.produce_future, 0, batch.records._builder._first_timestamp, None, -1, -1, -1)
    batch._record_futures.append(future)
    return future


def _encoded_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    parts = [_varint(len(headers))]
    for name, value in headers:
        parts += (*_sized(name.encode()), *_sized(value))
    return b"".join(parts)


def _sized(field: bytes | None) -> tuple[bytes, bytes]:
    return (_ABSENT, b"") if field is None else (_varint(len(field)), field)


def _varint(number: int) -> bytes:
    return _VARINTS[number] if 0 <= number < len(_VARINTS) else _encoded_varint(number)


def _encoded_varint(number: int) -> bytes:
    encoded = bytearray()
    encode_varint(number, encoded.append)
    return bytes(encoded)


_VARINTS: Final[Sequence[bytes]] = [_encoded_varint(number) for number in range(4096)]
_ABSENT: Final = _encoded_varint(-1)
