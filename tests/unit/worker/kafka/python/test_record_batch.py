"""The bytes and the batches are the client's own: what `append` makes of each record, one after the other."""

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


def appended(records: Sequence[Outgoing], most_bytes: int) -> list[ProducerBatch]:
    """Return what kafka-python makes of the records, one `append` each."""
    batches: list[ProducerBatch] = []
    for record in records:
        stamp = NOW_MS if record.timestamp_ms is None else record.timestamp_ms
        given = (stamp, record.key, record.value, record.headers)
        if not batches or batches[-1].try_append(*given) is None:
            batches.append(ProducerBatch(AT, MemoryRecordsBuilder(2, 0, most_bytes)))
            assert batches[-1].try_append(*given) is not None
    return batches


def closed(batch: ProducerBatch) -> dict[str, Any]:
    """Return all that the client sends and accounts for, after a transaction's producer has taken the batch."""
    found = {"records": batch.record_count, "full": batch.records.is_full(), "largest": batch.max_record_size}
    batch.records.set_producer_state(7, 2, 41, True)
    batch.records.close()
    return {**found, "bytes": bytes(batch.records.buffer()), "at": batch.topic_partition}


@given(records=_records(), most_bytes=st.sampled_from([100, 700, 5000, 131072]))
def test_batches_are_those_of_single_appends(records: list[Outgoing], most_bytes: int) -> None:
    ours = list(batches_of(AT, records, most_bytes, NOW_MS))
    assert [closed(batch) for batch in ours] == [closed(batch) for batch in appended(records, most_bytes)]


def test_more_records_than_small_numbers_reach() -> None:
    records = [Outgoing(AT.topic, b"k%d" % number, b"v", [], None) for number in range(9000)]
    ours = list(batches_of(AT, records, 1 << 20, NOW_MS))
    assert [closed(batch) for batch in ours] == [closed(batch) for batch in appended(records, 1 << 20)]


@given(records=_records())
def test_a_batch_takes_another_record_as_the_clients_own_does(records: list[Outgoing]) -> None:
    (ours,), (theirs,) = list(batches_of(AT, records, 1 << 24, NOW_MS)), appended(records, 1 << 24)
    for batch in (ours, theirs):
        assert batch.try_append(NOW_MS - 5000, b"k", b"letter", []) is not None
    assert closed(ours) == closed(theirs)
