"""Faults of the loop that the chaos cases found, reproduced on the doubles."""

from __future__ import annotations

from tests.doubles import MemoryPoisonLedger, make_rated, make_record
from worker.records import Partition, Record
from worker.stream.breaker import Breaker
from worker.stream.poison import PoisonTracker
from worker.stream.rejection import rejected

LIMIT = 2


def crash_on(record: Record, ledger: MemoryPoisonLedger, run: int) -> None:
    """Start on a record alone, and never finish."""
    tracker = PoisonTracker(ledger, run_id=f"run {run}", limit=LIMIT)
    tracker.split([record])
    assert not tracker.start([record])


def test_poison_is_rejected_again_if_its_rejection_could_not_be_delivered() -> None:
    """Otherwise the record would kill another process each time that its dead letter cannot be delivered."""
    ledger, record = MemoryPoisonLedger(), make_record()
    for run in range(LIMIT):
        crash_on(record, ledger, run)
    last = PoisonTracker(ledger, run_id="last", limit=LIMIT)
    for _ in range(3):  # its dead letter is refused twice
        assert last.split([record]) == [[record]]
        assert last.start([record]) == {(Partition(record.topic, 0), 0)}
        last.undo()


def test_poison_notes_of_a_revoked_partition_are_dropped() -> None:
    ledger, record = MemoryPoisonLedger(), make_record()
    for run in range(LIMIT):
        crash_on(record, ledger, run)
    last = PoisonTracker(ledger, run_id="last", limit=LIMIT)
    last.split([record])
    assert last.start([record])
    last.drop(frozenset({Partition(record.topic, 0)}))
    assert not last.start([make_record(offset=1)])


def test_breaker_counts_a_retried_batch_once() -> None:
    """Otherwise ten dead letters would open it by being retried fifty times while their topic is missing."""
    breaker = Breaker(share=1.0, window_records=1000, consecutive=30)
    batch = [rejected(make_record(offset=number), "no_text", "x", model_version="v") for number in range(10)]
    for _ in range(50):
        assert breaker.opens(batch) is None
        breaker.undo()
    assert breaker.opens(batch) is None
    assert breaker.opens(batch) is None
    assert breaker.opens(batch) is not None


def test_breaker_undoes_only_the_last_batch() -> None:
    breaker = Breaker(share=0.5, window_records=100, consecutive=0)
    assert breaker.opens([make_rated(f"r{number}") for number in range(60)]) is None
    bad = [rejected(make_record(), "no_text", "x", model_version="v")] * 45
    assert breaker.opens(bad) is None
    breaker.undo()
    assert breaker.opens(bad) is None
    assert breaker.opens(bad) is not None
