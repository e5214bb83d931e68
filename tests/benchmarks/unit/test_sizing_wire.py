from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from tests.benchmarks.sizing.wire import BATCH_BYTES, MARKER_BYTES, batched_bytes, record_bytes, varint_bytes

HEADERS = st.lists(st.tuples(st.text(min_size=1, max_size=80), st.binary(max_size=200)), max_size=3)


def batch_of(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], count: int = 1) -> int:
    """Return how long a batch of equal records is when kafka-python builds it."""
    builder = DefaultRecordBatchBuilder(2, 0, True, 1, 1, 0, 1_000_000)
    for offset in range(count):
        assert builder.append(offset, 1_767_225_600_000 + offset * 70, key, value, headers) is not None
    return len(builder.build())


@pytest.mark.parametrize(
    ("value", "length"), [(0, 1), (-1, 1), (63, 1), (64, 2), (-64, 1), (-65, 2), (8_191, 2), (8_192, 3)]
)
def test_varint_takes_seven_bits_a_byte_after_the_sign(value: int, length: int) -> None:
    assert varint_bytes(value) == length


@given(st.none() | st.binary(max_size=300), st.none() | st.binary(max_size=20_000), HEADERS)
def test_record_is_as_long_as_the_client_makes_it(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    assert BATCH_BYTES + record_bytes(key, value, headers) == batch_of(key, value, headers)


def test_deltas_count_in_a_batch() -> None:
    lengths = [record_bytes(b"k", b"v" * 90, offset_delta=at, timestamp_delta_ms=at * 70) for at in range(100)]
    assert BATCH_BYTES + sum(lengths) == batch_of(b"k", b"v" * 90, [], count=100)
    assert max(lengths) - min(lengths) == 2  # a second byte for either delta


def test_marker_is_a_batch_of_one_control_record() -> None:
    """Key: version and type; value: version and coordinator epoch. A broker's log shows 78 bytes for it."""
    assert BATCH_BYTES + record_bytes(b"\0\0\0\1", b"\0\0" + b"\0\0\0\0") == MARKER_BYTES == 78


def test_header_is_shared_by_the_batch() -> None:
    assert batched_bytes(448, 1) == 509
    assert batched_bytes(448, 122) == 448.5
