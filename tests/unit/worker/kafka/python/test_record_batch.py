"""The batches equal those that the client's own `append` makes, record by record and byte by byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder

from worker.kafka.outgoing import Outgoing
from worker.kafka.python.record_batch import batches_of

AT = TopicPartition("ratings", 3)
NOW_MS = 1_700_000_000_123

_headers = st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=90)), max_size=4)
_stamps = st.integers(0, 4_000_000_000_000)
_values = st.none() | st.binary(max_size=300) | st.binary(min_size=4000, max_size=9000)


@st.composite
def _records(draw: st.DrawFn) -> list[Outgoing]:
    shared = draw(_headers)
    key, headers, stamp = st.none() | st.binary(max_size=80), st.just(shared) | _headers, st.none() | _stamps
    one = st.builds(Outgoing, st.just(AT.topic), key, _values, headers, stamp)
    return draw(st.lists(one, min_size=1, max_size=40))


def appended(records: Sequence[Outgoing], max_bytes: int) -> list[ProducerBatch]:
    """Return the batches that kafka-python makes, with one `append` per record."""
    batches: list[ProducerBatch] = []
    for record in records:
        stamp = NOW_MS if record.timestamp_ms is None else record.timestamp_ms
        given = (stamp, record.key, record.value, record.headers)
        if not batches or batches[-1].try_append(*given) is None:
            batches.append(ProducerBatch(AT, MemoryRecordsBuilder(2, 0, max_bytes)))
            assert batches[-1].try_append(*given) is not None
    return batches


def closed(batch: ProducerBatch) -> dict[str, Any]:
    """Return everything that the client sends and counts for a batch of a transactional producer."""
    found = {"records": batch.record_count, "full": batch.records.is_full(), "largest": batch.max_record_size}
    batch.records.set_producer_state(7, 2, 41, True)
    batch.records.close()
    return {**found, "bytes": bytes(batch.records.buffer()), "at": batch.topic_partition}


@given(records=_records(), max_bytes=st.sampled_from([100, 700, 5000, 131072]))
def test_batches_equal_those_of_single_appends(records: list[Outgoing], max_bytes: int) -> None:
    ours = list(batches_of(AT, records, max_bytes, NOW_MS))
    assert [closed(batch) for batch in ours] == [closed(batch) for batch in appended(records, max_bytes)]


def test_batches_with_large_offset_deltas_equal_those_of_single_appends() -> None:
    records = [Outgoing(AT.topic, b"k%d" % number, b"v", [], None) for number in range(9000)]
    ours = list(batches_of(AT, records, 1 << 20, NOW_MS))
    assert [closed(batch) for batch in ours] == [closed(batch) for batch in appended(records, 1 << 20)]


@given(records=_records())
def test_a_batch_accepts_appends_like_the_clients_own(records: list[Outgoing]) -> None:
    (ours,), (theirs,) = list(batches_of(AT, records, 1 << 24, NOW_MS)), appended(records, 1 << 24)
    for batch in (ours, theirs):
        assert batch.try_append(NOW_MS - 5000, b"k", b"letter", []) is not None
    assert closed(ours) == closed(theirs)
