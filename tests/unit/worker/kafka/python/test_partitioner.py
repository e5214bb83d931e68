from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as reference

from worker.kafka.python.partitioner import murmur2, partitions_of

_keys = st.lists(st.binary(max_size=70), min_size=1, max_size=40)


@given(keys=_keys, count=st.integers(1, 300) | st.just(2**31 - 1))
def test_every_key_has_the_partition_of_the_default_partitioner(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count) == [(reference(key) & 0x7FFFFFFF) % count for key in keys]


def test_hashes_equal_the_reference_values_of_apache_kafka() -> None:
    """UtilsTest.testMurmur2 of Apache Kafka."""
    cases = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert murmur2(list(cases)).view("i4").tolist() == list(cases.values())


def test_an_empty_batch_has_no_partitions() -> None:
    assert partitions_of([], 3) == []
