"""What the cases found in the loop, small enough to show on the doubles: faster to read than a case of chaos."""

from __future__ import annotations

from tests.doubles import ManualClock as Clock
from tests.doubles import MemoryStore, make_rated, make_record
from worker.records import Partition, Record
from worker.stream.breaker import Breaker
from worker.stream.parse import rejected
from worker.stream.poison import Attempts

LIMIT = 2


def die_at(record: Record, ledger: MemoryStore, life: int) -> None:
    """Begin a record alone, and never end."""
    attempts = Attempts(ledger, life=f"life {life}", limit=LIMIT)
    attempts.split([record])
    assert not attempts.begin([record])


def test_attempts_condemn_again_when_the_rejection_could_not_be_delivered(clock: Clock) -> None:
    """Or a record that kills would kill once more for each time that its dead letter meets an outage."""
    ledger, record = MemoryStore(clock), make_record()
    for life in range(LIMIT):
        die_at(record, ledger, life)
    last = Attempts(ledger, life="last", limit=LIMIT)
    for _ in range(3):  # its dead letter is refused, twice
        assert last.split([record]) == [[record]]
        assert last.begin([record]) == {(Partition(record.topic, 0), 0)}
        last.forgive([record])


def test_attempts_of_a_partition_that_went_away_are_not_condemned_from_memory(clock: Clock) -> None:
    ledger, record = MemoryStore(clock), make_record()
    for life in range(LIMIT):
        die_at(record, ledger, life)
    last = Attempts(ledger, life="last", limit=LIMIT)
    last.split([record])
    assert last.begin([record])
    last.forget(frozenset({Partition(record.topic, 0)}))
    assert not last.begin([make_record(offset=1)])


def test_breaker_counts_a_batch_once_however_often_it_is_tried() -> None:
    """Or ten dead letters that wait for their topic would open it by being tried fifty times."""
    breaker = Breaker(share=1.0, window_records=1000, consecutive=30)
    batch = [rejected(make_record(offset=number), "no_text", "x", model_version="v") for number in range(10)]
    for _ in range(50):
        assert breaker.opens(batch) is None
        breaker.take_back()
    assert breaker.opens(batch) is None
    assert breaker.opens(batch) is None
    assert breaker.opens(batch) is not None


def test_breaker_takes_back_one_batch_and_no_more() -> None:
    breaker = Breaker(share=0.5, window_records=100, consecutive=0)
    assert breaker.opens([make_rated(f"r{number}") for number in range(60)]) is None
    bad = [rejected(make_record(), "no_text", "x", model_version="v")] * 45
    assert breaker.opens(bad) is None
    breaker.take_back()
    assert breaker.opens(bad) is None
    assert breaker.opens(bad) is not None
