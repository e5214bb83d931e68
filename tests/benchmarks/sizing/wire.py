"""Bytes of a record in Kafka's log and on the wire, uncompressed. Pure.

Source of every length: Apache Kafka's documentation, Implementation, Message Format (record batches of magic 2,
https://kafka.apache.org/documentation/#messageformat); variable-length integers are zig-zag, seven bits a byte, as
Protocol Buffers have them. The unit test holds the formula against what kafka-python builds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# baseOffset 8, batchLength 4, partitionLeaderEpoch 4, magic 1, crc 4, attributes 2, lastOffsetDelta 4, baseTimestamp 8,
# maxTimestamp 8, producerId 8, producerEpoch 2, baseSequence 4, recordsCount 4
BATCH_BYTES: Final = 61
# A batch of one control record: key is version and type (int16 each), value is version (int16) and coordinator epoch
# (int32); length, attributes, two deltas, key's and value's lengths and the count of headers take a byte each.
MARKER_BYTES: Final = BATCH_BYTES + 7 + 4 + 6


def varint_bytes(value: int) -> int:
    """Return the length of a zig-zag variable-length integer."""
    zigzag = value * 2 if value >= 0 else -value * 2 - 1
    return max(1, -(-zigzag.bit_length() // 7))


def record_bytes(
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]] = (),
    *,
    offset_delta: int = 0,
    timestamp_delta_ms: int = 0,
) -> int:
    """Return the length of a record inside its batch; deltas are to the batch's first record."""
    body = 1 + varint_bytes(timestamp_delta_ms) + varint_bytes(offset_delta) + _field(key) + _field(value)
    body += varint_bytes(len(headers)) + sum(_field(name.encode()) + _field(content) for name, content in headers)
    return varint_bytes(body) + body


def batched_bytes(record: float, records_per_batch: float) -> float:
    """Return the bytes a record takes with its share of the batch's header."""
    return record + BATCH_BYTES / records_per_batch


def _field(content: bytes | None) -> int:
    return varint_bytes(-1) if content is None else varint_bytes(len(content)) + len(content)
