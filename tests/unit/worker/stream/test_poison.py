"""Finding the record that kills the process: notes that outlive it, records tried alone, and the rejection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import MemoryPoisonLedger, make_record
from worker.records import Partition, PlainRecord, Record, partition_of
from worker.stream.poison import PoisonTracker

LIMIT = 3
P0 = Partition("reviews", 0)


def records(*offsets: int, partition: int = 0) -> list[PlainRecord]:
    return [make_record(offset=offset, partition=partition) for offset in offsets]


class Runs:
    """Consecutive process runs on one ledger."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.ledger = MemoryPoisonLedger()
        self.limit = limit
        self.count = 0

    def next(self) -> PoisonTracker:
        self.count += 1
        return PoisonTracker(self.ledger, run_id=f"run-{self.count}", limit=self.limit)

    def crash_on(self, batch: list[PlainRecord], killer: int) -> list[list[int]]:
        """Run once: try what `split` returns, die at the given offset; return what was tried."""
        tracker = self.next()
        tried = []
        for part in tracker.split(batch):
            poison = tracker.start(part)
            tried.append([record.offset for record in part])
            if any(record.offset == killer and (P0, killer) not in poison for record in part):
                return tried
        return tried


def test_a_healthy_batch_is_one_checkpoint() -> None:
    tracker = Runs().next()
    batch = records(0, 1, 2)
    assert tracker.split(batch) == [batch]
    assert tracker.start(batch) == frozenset()
    assert tracker.runs(P0) == 1


def test_after_the_limit_of_crashes_records_are_tried_one_by_one_and_the_killer_is_rejected() -> None:
    runs = Runs()
    batch = records(5, 6, 7)
    for _ in range(LIMIT):
        assert runs.crash_on(batch, killer=6) == [[5, 6, 7]]
    assert runs.crash_on(batch, killer=6) == [[5], [6]]  # the first is committed, so it is not read again
    for _ in range(LIMIT - 1):
        assert runs.crash_on(batch[1:], killer=6) == [[6]]
    last = runs.next()
    parts = last.split(batch[1:])
    assert [[record.offset for record in part] for part in parts] == [[6], [7]]
    assert last.start(parts[0]) == {(P0, 6)}
    assert last.start(parts[1]) == frozenset()


def test_a_record_is_rejected_again_when_its_rejection_could_not_be_delivered() -> None:
    """Otherwise it would kill another process each time that its dead letter cannot be delivered."""
    runs = Runs()
    for _ in range(LIMIT):
        runs.crash_on(records(6), killer=6)
    last = runs.next()
    for _ in range(3):  # its dead letter is refused twice
        assert last.split(records(6)) == [records(6)]
        assert last.start(records(6)) == {(P0, 6)}
        last.undo()


def test_other_partitions_stay_one_checkpoint() -> None:
    runs = Runs()
    batch = [*records(0, 1), *records(0, 1, partition=1)]
    for _ in range(LIMIT):
        tracker = runs.next()
        tracker.split(batch[:2])
        tracker.start(batch[:2])
    parts = runs.next().split(batch)
    assert parts == [batch[:1], batch[1:2], batch[2:]]


def test_an_attempt_that_failed_because_of_an_outage_does_not_count() -> None:
    runs = Runs()
    batch = records(0, 1)
    for _ in range(10):
        tracker = runs.next()
        (part,) = tracker.split(batch)
        tracker.start(part)
        tracker.undo()
    assert runs.next().split(batch) == [batch]


def test_after_an_undone_attempt_the_next_one_of_the_same_run_counts() -> None:
    runs = Runs()
    batch = records(0, 1)
    for _ in range(LIMIT):
        tracker = runs.next()
        tracker.split(batch)
        tracker.start(batch)
        tracker.undo()
        tracker.split(batch)
        tracker.start(batch)  # and dies
    assert runs.next().split(batch) == [batch[:1], batch[1:]]


def test_the_note_of_the_next_owner_is_not_undone() -> None:
    runs = Runs()
    mine, theirs = runs.next(), runs.next()
    mine.start(records(0, 1))
    mine.drop(frozenset({P0}))
    theirs.split(records(0, 1))
    theirs.start(records(0, 1))
    mine.undo()
    assert runs.ledger.load_attempts([P0])[P0].runs == 2


def test_the_note_of_another_run_is_not_undone() -> None:
    runs = Runs()
    runs.crash_on(records(0, 1), killer=1)
    runs.next().undo()
    assert runs.ledger.load_attempts([P0])[P0].runs == 1


def test_crashes_do_not_count_after_the_partition_has_advanced() -> None:
    runs = Runs()
    for _ in range(LIMIT):
        runs.crash_on(records(0, 1, 2), killer=2)
    further = records(7, 8)
    assert runs.next().split(further) == [further]


def test_notes_of_a_revoked_partition_are_loaded_again() -> None:
    runs = Runs()
    mine = runs.next()
    mine.split(records(0, 1))
    mine.start(records(0, 1))
    mine.drop(frozenset({P0}))
    for _ in range(LIMIT):
        runs.crash_on(records(2, 3), killer=3)
    assert mine.split(records(2, 3)) == [records(2), records(3)]


def test_limit_zero_turns_it_off() -> None:
    runs = Runs(limit=0)
    batch = records(0, 1)
    for _ in range(10):
        assert runs.crash_on(batch, killer=1) == [[0, 1]]
    assert runs.ledger.load_attempts([P0]) == {}


positions = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), unique=True, max_size=12).map(sorted)


@given(positions, st.integers(0, 6))
def test_split_keeps_every_record_once_and_each_partition_in_order(
    positions: list[tuple[int, int]], crashes: int
) -> None:
    runs = Runs()
    batch: list[Record] = [make_record(partition=partition, offset=offset) for partition, offset in positions]
    for _ in range(crashes):
        tracker = runs.next()
        for part in tracker.split(batch)[:1]:
            tracker.start(part)
    parts = runs.next().split(batch) if batch else []
    got = [record for part in parts for record in part]
    assert all(part for part in parts)
    assert sorted(map(id, got)) == sorted(map(id, batch))
    for number in range(3):
        partition = Partition("reviews", number)
        mine = [record.offset for record in got if partition_of(record) == partition]
        assert mine == sorted(mine)
