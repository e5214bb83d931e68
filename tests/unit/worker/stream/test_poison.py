"""Who killed the process: notes that outlive it, caution, and rejection in the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import ManualClock, MemoryRecord, MemoryStore, make_record
from worker.records import Partition, Record, partition_of
from worker.stream.poison import Attempts

LIMIT = 3
P0 = Partition("reviews", 0)


def records(*offsets: int, partition: int = 0) -> list[MemoryRecord]:
    return [make_record(offset=offset, partition=partition) for offset in offsets]


class Lives:
    """Process after process, on one ledger."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.ledger = MemoryStore(ManualClock())
        self.limit = limit
        self.count = 0

    def next(self) -> Attempts:
        self.count += 1
        return Attempts(self.ledger, life=f"life-{self.count}", limit=self.limit)

    def die_on(self, batch: list[MemoryRecord], killer: int) -> list[list[int]]:
        """Live once: try what `split` says, die at the offset given; return what was tried."""
        attempts = self.next()
        tried = []
        for part in attempts.split(batch):
            condemned = attempts.begin(part)
            tried.append([record.offset for record in part])
            if any(record.offset == killer and (P0, killer) not in condemned for record in part):
                return tried
        return tried


def test_a_healthy_batch_is_tried_together() -> None:
    attempts = Lives().next()
    batch = records(0, 1, 2)
    assert attempts.split(batch) == [batch]
    assert attempts.begin(batch) == frozenset()
    assert attempts.lives(P0) == 1


def test_after_its_limit_of_deaths_a_batch_is_tried_one_by_one_and_the_killer_is_condemned() -> None:
    lives = Lives()
    batch = records(5, 6, 7)
    for _ in range(LIMIT):
        assert lives.die_on(batch, killer=6) == [[5, 6, 7]]
    assert lives.die_on(batch, killer=6) == [[5], [6]]  # the first is settled now, and never comes again
    for _ in range(LIMIT - 1):
        assert lives.die_on(batch[1:], killer=6) == [[6]]
    last = lives.next()
    parts = last.split(batch[1:])
    assert [[record.offset for record in part] for part in parts] == [[6], [7]]
    assert last.begin(parts[0]) == {(P0, 6)}
    assert last.begin(parts[1]) == frozenset()


def test_other_partitions_go_on_together() -> None:
    lives = Lives()
    batch = [*records(0, 1), *records(0, 1, partition=1)]
    for _ in range(LIMIT):
        attempts = lives.next()
        attempts.split(batch[:2])
        attempts.begin(batch[:2])
    parts = lives.next().split(batch)
    assert parts == [batch[:1], batch[1:2], batch[2:]]


def test_a_batch_that_failed_for_want_of_a_service_is_forgiven() -> None:
    lives = Lives()
    batch = records(0, 1)
    for _ in range(10):
        attempts = lives.next()
        (part,) = attempts.split(batch)
        attempts.begin(part)
        attempts.forgive(part)
    assert lives.next().split(batch) == [batch]


def test_another_life_s_note_is_not_ours_to_forgive() -> None:
    lives = Lives()
    lives.die_on(records(0, 1), killer=1)
    lives.next().forgive(records(0, 1))
    assert lives.ledger.load_attempts([P0])[P0].lives == 1


def test_progress_makes_earlier_deaths_irrelevant() -> None:
    lives = Lives()
    for _ in range(LIMIT):
        lives.die_on(records(0, 1, 2), killer=2)
    further = records(7, 8)
    assert lives.next().split(further) == [further]


def test_what_went_to_another_worker_is_learned_anew() -> None:
    lives = Lives()
    mine = lives.next()
    mine.split(records(0, 1))
    mine.begin(records(0, 1))
    mine.forget(frozenset({P0}))
    for _ in range(LIMIT):
        lives.die_on(records(2, 3), killer=3)
    assert mine.split(records(2, 3)) == [records(2), records(3)]


def test_limit_zero_turns_it_off() -> None:
    lives = Lives(limit=0)
    batch = records(0, 1)
    for _ in range(10):
        assert lives.die_on(batch, killer=1) == [[0, 1]]
    assert lives.ledger.load_attempts([P0]) == {}


positions = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), unique=True, max_size=12).map(sorted)


@given(positions, st.integers(0, 6))
def test_split_keeps_every_record_once_and_each_partition_in_order(
    positions: list[tuple[int, int]], deaths: int
) -> None:
    lives = Lives()
    batch: list[Record] = [make_record(partition=partition, offset=offset) for partition, offset in positions]
    for _ in range(deaths):
        attempts = lives.next()
        for part in attempts.split(batch)[:1]:
            attempts.begin(part)
    parts = lives.next().split(batch) if batch else []
    got = [record for part in parts for record in part]
    assert all(part for part in parts)
    assert sorted(map(id, got)) == sorted(map(id, batch))
    for number in range(3):
        partition = Partition("reviews", number)
        mine = [record.offset for record in got if partition_of(record) == partition]
        assert mine == sorted(mine)
