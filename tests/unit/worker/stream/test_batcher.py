"""The batcher's promises: no record is lost or duplicated, order and linger are kept, and the loop does not spin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.doubles import ManualClock, make_record
from worker.records import Batch, Partition, PlainRecord, Record, partition_of
from worker.stream.batcher import Batcher, Limits

LINGER_S = 0.010
OVERHEAD_BYTES = 100


def make_batcher(
    *,
    max_records: int = 4,
    max_bytes: int = 1_000_000,
    max_tokens: int = 1_000_000,
    linger_s: float = LINGER_S,
) -> Batcher:
    return Batcher(Limits(max_records, max_bytes, max_tokens, linger_s=linger_s))


def records(count: int, *, partition: int = 0, start: int = 0, value: str = "x") -> list[PlainRecord]:
    return [make_record(value, partition=partition, offset=start + number) for number in range(count)]


@dataclass
class Stream:
    """Numbers the records of each partition as a topic would."""

    next_offset: dict[int, int] = field(default_factory=dict)

    def take(self, sizes: Sequence[tuple[int, int]]) -> list[PlainRecord]:
        taken = []
        for partition, size in sizes:
            offset = self.next_offset.get(partition, 0)
            self.next_offset[partition] = offset + 1
            taken.append(make_record("x" * size, partition=partition, offset=offset))
        return taken


class Case(NamedTuple):
    """A batcher's limits; times in tenths of milliseconds, so that rounding occurs and examples shrink well."""

    max_records: int
    max_bytes: int
    linger: int

    @property
    def linger_s(self) -> float:
        return self.linger / 10_000

    def batcher(self) -> Batcher:
        return make_batcher(max_records=self.max_records, max_bytes=self.max_bytes, linger_s=self.linger_s)


Arrivals = list[tuple[int, int]]  # partition and size of each record
Steps = list[tuple[Arrivals, int]]  # what arrives, and how long it takes, in tenths of milliseconds

arrivals = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 600)), max_size=6)
steps = st.lists(st.tuples(arrivals, st.integers(0, 200)), max_size=12)
limits = st.builds(Case, st.integers(1, 9), st.integers(1, 3000), st.integers(0, 200))
costs = st.lists(
    st.tuples(st.integers(0, 50_000), st.floats(0, 3)), max_size=5
)  # tokens and seconds of earlier batches


@given(limits, steps)
def test_every_record_is_released_once_in_order_and_within_the_limits(limit: Case, steps: Steps) -> None:
    batcher, clock, stream = limit.batcher(), ManualClock(), Stream()
    added: list[Record] = []
    batches: list[Batch] = []
    for sizes, wait in steps:
        taken = stream.take(sizes)
        added.extend(taken)
        batcher.add(taken, clock.monotonic())
        while (batch := batcher.release(clock.monotonic())) is not None:
            batches.append(batch)
        clock.advance(wait / 10_000)
    while (batch := batcher.drain(9.0)) is not None:
        batches.append(batch)
    released = [record for batch in batches for record in batch.records]
    assert released == added
    for batch in batches:
        sizes_bytes = [len(record.value or b"") + OVERHEAD_BYTES for record in batch.records]
        assert 1 <= len(sizes_bytes) <= limit.max_records
        assert len(sizes_bytes) == 1 or sum(sizes_bytes) <= limit.max_bytes
    assert batcher.release(clock.monotonic()) is None
    assert batcher.clear() == []


def teach(batcher: Batcher, seen: Sequence[tuple[int, float]]) -> None:
    for tokens, seconds in seen:
        batcher.learn(Batch(records(3), "full", size=333, fill=1.0, oldest_s=0.0), tokens, seconds, seconds / 2)


@given(limits, steps, costs)
def test_a_loop_that_blocks_for_wait_s_neither_spins_nor_exceeds_linger(
    limit: Case, steps: Steps, seen: list[tuple[int, float]]
) -> None:
    """As the pipeline does: block for `wait_s`, or less when records arrive, then release; for any batch cost."""
    batcher, clock, stream = limit.batcher(), ManualClock(), Stream()
    teach(batcher, seen)
    since: dict[tuple[Partition, int], float] = {}
    for sizes, arrives_in in steps:
        wait_s = batcher.wait_s(clock.monotonic())
        assert wait_s >= 0.001 - 1e-9, "nothing is due, so the loop must block, and clients wait in milliseconds"
        clock.advance(min(wait_s, arrives_in / 10_000) if sizes else wait_s)
        taken = stream.take(sizes)
        batcher.add(taken, clock.monotonic())
        since |= {(partition_of(record), record.offset): clock.monotonic() for record in taken}
        while (batch := batcher.release(clock.monotonic())) is not None:
            for record in batch.records:
                waited = clock.monotonic() - since.pop((partition_of(record), record.offset))
                assert waited <= limit.linger_s + 1e-9
        assert all(clock.monotonic() - queued < limit.linger_s + 1e-9 for queued in since.values())


@given(limits, arrivals, st.sets(st.integers(0, 2)))
def test_drop_removes_only_the_given_partitions(limit: Case, sizes: Arrivals, gone: set[int]) -> None:
    batcher, taken = limit.batcher(), Stream().take(sizes)
    batcher.add(taken, 0.0)
    batcher.drop({Partition("reviews", number) for number in gone} | {Partition("other", 0)})
    left: list[Record] = []
    while (batch := batcher.drain(9.0)) is not None:
        left.extend(batch.records)
    assert left == [record for record in taken if record.partition not in gone]


@given(limits, arrivals, st.sets(st.integers(0, 2)))
def test_dropped_records_no_longer_count_towards_the_batch_size(limit: Case, sizes: Arrivals, gone: set[int]) -> None:
    assume(limit.max_bytes > 200)
    batcher = limit.batcher()
    batcher.add(Stream().take(sizes), 0.0)
    batcher.drop({Partition("reviews", number) for number in gone})
    batcher.clear()
    batcher.add(records(1), 5.0)
    batch = batcher.drain(5.0)
    assert batch is not None
    assert batch.size == 1 + OVERHEAD_BYTES


def test_a_full_batch_is_released_at_once() -> None:
    batcher = make_batcher(max_records=4)
    batcher.add(records(9), 0.0)
    assert batcher.wait_s(0.0) == 0.0
    assert batcher.room == 0
    first, second = batcher.release(0.0), batcher.release(0.0)
    assert first is not None
    assert second is not None
    assert (first.reason, len(first.records)) == ("full", 4)
    assert (second.reason, [record.offset for record in second.records]) == ("full", [4, 5, 6, 7])
    assert batcher.room == 3


def test_a_batch_is_full_at_its_limit_of_bytes() -> None:
    batcher = make_batcher(max_records=100, max_bytes=1000)
    batcher.add([make_record("x" * 400, offset=offset) for offset in range(3)], 0.0)
    batch = batcher.release(0.0)
    assert batch is not None
    assert (batch.reason, len(batch.records)) == ("full", 2)


def test_a_batch_is_full_at_its_limit_of_estimated_tokens() -> None:
    batcher = make_batcher(max_records=100, max_tokens=1000)
    teach(batcher, [(333 * 2, 0.01)] * 300)  # two tokens a byte
    batcher.add([make_record("x" * 100, offset=offset) for offset in range(6)], 0.0)  # 400 each
    batch = batcher.release(0.0)
    assert batch is not None
    assert (batch.reason, len(batch.records)) == ("full", 2)
    assert batch.fill == pytest.approx(0.8, rel=0.01)


def flowing(batcher: Batcher, per_ms: int, *, until_s: float) -> float:
    """Add and clear `per_ms` records a millisecond; return the time."""
    at = 0.0
    while at < until_s:
        at += 0.001
        batcher.add(records(per_ms), at)
        batcher.clear()
    return at


def test_on_a_fast_stream_a_small_batch_waits_and_a_large_enough_one_does_not() -> None:
    """Ten records a millisecond, 12 ms and 24 us each: it pays to wait for 0.012 * 10,000 / (1 + 0.24) = 97."""
    batcher = make_batcher(max_records=2000)
    size = len("x") + OVERHEAD_BYTES
    for count in (200, 400) * 300:  # 6 tokens each
        batch = Batch(records(count), "full", size=size * count, fill=1.0, oldest_s=0.0)
        batcher.learn(batch, 6 * count, 0.012 + 4e-6 * 6 * count, 4e-6 * 6 * count)
    at = flowing(batcher, 10, until_s=5.0)
    batcher.add(records(70), at)
    assert batcher.release(at) is None
    assert batcher.wait_s(at) == pytest.approx(0.0028, abs=0.0005), "the time until the rest has arrived"
    batcher.add(records(50), at)
    released = batcher.release(at)
    assert released is not None
    assert (released.reason, len(released.records)) == ("enough", 120)


def test_linger_ends_the_wait_when_batches_are_expensive() -> None:
    batcher = make_batcher(max_records=2000)
    batcher.cost.fixed_s = 1.0
    at = flowing(batcher, 100, until_s=3.0)
    batcher.add(records(500), at)
    assert batcher.release(at) is None
    batcher.add(records(1), at + LINGER_S / 2)
    batch = batcher.release(at + LINGER_S)
    assert batch is not None
    assert batch.reason == "linger"
    assert batch.oldest_s == pytest.approx(LINGER_S)


def test_clear_returns_the_queued_records_in_order() -> None:
    batcher = make_batcher(max_records=100)
    taken = [*records(3, partition=1), *records(2, partition=0)]
    batcher.add(taken, 0.0)
    assert batcher.clear() == taken
    assert batcher.room == 100


def test_batches_shrink_to_one_record_while_commits_fail_and_grow_again() -> None:
    batcher = Batcher(Limits(8, bytes=10**6, tokens=10**6, linger_s=0.01, commit_s=10.0))
    sizes = []
    for failed in (8, 4, 2, 1):
        batcher.commit_failed(failed)
        batcher.add([make_record(offset=number) for number in range(8)], 0.0)
        batch = batcher.release(1.0)
        assert batch is not None
        sizes.append(len(batch.records))
        batcher.clear()
    assert sizes == [4, 2, 1, 1]
    batcher.commit_took(1, 3.0)
    assert batcher.most_records == 1, "not far from its limit"
    grown = []
    for _ in range(6):
        batcher.commit_took(batcher.most_records, 1.0)
        grown.append(batcher.most_records)
    assert grown == [2, 3, 4, 5, 6, 7]
    batcher.commit_took(3, 1.0)
    assert batcher.most_records == 7, "a smaller batch proves nothing"


def test_a_commit_near_its_time_limit_halves_the_next_batch_before_one_fails() -> None:
    batcher = Batcher(Limits(8, bytes=10**6, tokens=10**6, linger_s=0.01, commit_s=10.0))
    batcher.commit_took(8, 5.1)
    assert batcher.most_records == 4
