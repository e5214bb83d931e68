"""The loop on doubles: what is settled, in which order, when, and what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from schemas.rating import Rating
from tests.doubles import REFUSED, TOPIC, ManualClock, StubClassifier, make_record
from tests.fixtures.world import GONE, SETTINGS, World
from worker.records import Partition, Pending, Rated, Rejected


class Noting:
    """A port that notes its calls, and how many outcomes were sent."""

    def __init__(self, port: object, calls: list[str]) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> object:
            self._calls.append(f"send {len(arguments[0])}" if name == "send" else name)
            return getattr(self._port, name)(*arguments)

        return call


def noted_calls(world: World) -> list[str]:
    """Return a list that will hold the calls of the store and the delivery, in order."""
    calls: list[str] = []
    store: Any = Noting(world.store, calls)
    delivery: Any = Noting(world.delivery, calls)
    world.pipeline.store, world.pipeline.delivery = store, delivery
    return calls


def test_every_review_is_rated_and_its_offset_committed() -> None:
    world = World()
    world.produce("love it", "bad", "so so", partition=0)
    world.produce("love", partition=1)
    world.steps()
    stars = {review_id: rating.rating for review_id, rating in world.store.ratings.items()}
    assert stars == {"0-0": 5, "0-1": 1, "0-2": 3, "1-0": 5}
    assert world.cluster.committed == {("starstream", Partition(TOPIC, 0)): 3, ("starstream", Partition(TOPIC, 1)): 1}
    published = world.cluster.all_records(SETTINGS.output_topic)
    assert {Rating.from_json(record.value or b"").review_id for record in published} == set(world.store.ratings)
    world.assert_settled_once()


def test_a_large_batch_is_rated_and_sent_in_chunks_of_equal_size_and_published_whole() -> None:
    world = World(batch=2000)
    calls = noted_calls(world)
    world.produce(*["love"] * 1298, b"\xff", "bad")
    world.pipeline.batcher.cost.fixed_s = 100.0
    world.steps()
    assert calls[:4] == ["send 1", "send 433", "send 433", "send 433"], "first the outcomes that need no model"
    assert calls[4:] == ["prepare", "flush", "commit"]
    assert world.sample("starstream_reviews_settled_total", outcome="rejected") == 1
    world.assert_settled_once()


def test_chunks_are_cut_by_text_length_and_published_in_order_of_arrival() -> None:
    world = World(batch=2000)
    lengths: list[tuple[int, int]] = []
    rate = world.pipeline.classifier.rate

    def noted(pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        words = [len(review.review.text.split()) for review in pending]
        lengths.append((min(words), max(words)))
        return rate(pending, rated_at)

    world.pipeline.classifier.rate = noted  # type: ignore[method-assign]
    world.produce(*["love " * (1 + 37 * number % 100) for number in range(1500)])
    world.pipeline.batcher.cost.fixed_s = 100.0
    world.steps()
    assert len(lengths) == 3
    assert all(high <= low for (_, high), (low, _) in pairwise(lengths)), "chunks do not overlap in length"
    by_partition: dict[int, list[int]] = {}
    for record in world.cluster.all_records(SETTINGS.output_topic):
        by_partition.setdefault(record.partition, []).append(int((record.key or b"").split(b"-")[1]))
    assert all(offsets == sorted(offsets) for offsets in by_partition.values())
    assert sum(map(len, by_partition.values())) == 1500
    world.assert_settled_once()


def test_the_later_of_two_records_of_a_review_wins_whichever_is_rated_first() -> None:
    world = World(batch=2000)
    for number in range(1200):
        filler = "so " * (1 + number % 30)
        world.cluster.produce(make_record(filler, key=f"{number}".encode(), offset=number))
    world.cluster.produce(make_record("love " * 40, key=b"twice", offset=1200))
    world.cluster.produce(make_record("bad", key=b"twice", offset=1201))
    world.cluster.produce(make_record("love", key=b"gone", offset=1202))
    world.cluster.produce(make_record(None, key=b"gone", offset=1203))
    world.pipeline.batcher.cost.fixed_s = 100.0
    world.steps()
    assert world.store.ratings["twice"].rating == 1
    assert "gone" not in world.store.ratings


def test_the_delivery_is_aborted_when_the_flush_fails() -> None:
    world = World()
    calls = noted_calls(world)
    world.store.faults.then(GONE)
    world.produce("love")
    world.steps()
    assert calls[:7] == ["send 1", "prepare", "flush", "abort", "abandon", "ping", "ping"]
    assert calls[7:] == ["send 1", "prepare", "flush", "commit"]
    world.assert_settled_once()


def test_a_single_review_is_rated_without_waiting() -> None:
    world = World(batch=100)
    world.produce("love", in_s=3.0)
    asked = world.clock.monotonic()
    world.steps()
    assert world.clock.monotonic() - asked == pytest.approx(3.0, abs=1e-6)
    assert world.sample("starstream_batches_released_total", reason="idle") == 1


class Slow(StubClassifier):
    """Takes 5 us for each token."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        before = self.tokens
        outcomes = super().rate(pending, rated_at)
        self.clock.advance(5e-6 * (self.tokens - before))
        return outcomes


def test_the_loop_learns_what_batches_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """4,000 a second of 20 tokens each, 8 ms a batch: with 32 / (1 - 0.4) = 53 reviews a batch the loop keeps up."""
    world = World(batch=1000)
    world.pipeline.classifier = Slow(world.clock)
    commit = world.pipeline.delivery.commit

    def slowly() -> None:
        world.clock.advance(0.008)
        commit()

    monkeypatch.setattr(world.pipeline.delivery, "commit", slowly)
    for number in range(8000):
        world.produce("love " * 20, in_s=1 + number * 0.00025)
    world.steps(10_000)
    world.assert_settled_once()
    assert world.sample("starstream_batch_cost_fixed_seconds") == pytest.approx(0.008, rel=0.05)
    assert world.sample("starstream_batch_cost_token_seconds") == pytest.approx(5e-6, rel=0.05)
    assert 8000 / world.sample("starstream_batch_reviews_count") == pytest.approx(53, rel=0.3)
    waits = world.sample("starstream_batch_wait_seconds_bucket", le="0.01")
    assert waits == world.sample("starstream_batch_wait_seconds_count"), "no review waited longer than linger"


def test_a_backlog_is_processed_in_full_batches_without_waiting() -> None:
    world = World(batch=8)
    world.produce(*["love"] * 64)
    before = world.clock.monotonic()
    world.steps()
    assert world.clock.monotonic() == before
    assert world.sample("starstream_batches_released_total", reason="full") == 8


def test_an_idle_loop_blocks_in_poll_and_does_not_spin() -> None:
    world = World()
    started = world.clock.monotonic()
    for _ in range(10):
        world.pipeline.step()
    assert world.clock.monotonic() - started == pytest.approx(5.0)


def test_metrics_add_up() -> None:
    world = World(batch=5)
    world.produce("love it", "bad", b"\xff", "{", "love")
    world.cluster.produce(make_record(None, key=b"0-0"))
    world.steps()
    assert world.sample("starstream_reviews_consumed_total") == 6
    assert world.sample("starstream_reviews_settled_total", outcome="rated") == 3
    assert world.sample("starstream_reviews_settled_total", outcome="rejected") == 2
    assert world.sample("starstream_reviews_settled_total", outcome="deleted") == 1
    assert world.sample("starstream_reviews_rejected_total", reason="not_utf8") == 1
    assert world.sample("starstream_ratings_total", rating="5", model_version="stub-1") == 2
    assert world.sample("starstream_rating_confidence_count", model_version="stub-1") == 3
    assert world.sample("starstream_review_latency_seconds_count") == 6
    assert world.sample("starstream_checkpoints_total", result="committed") == 2
    assert world.sample("starstream_batch_reviews_count") == 2


class Changing(StubClassifier):
    """Another version at each refresh."""

    version = "v0"
    refreshes = 0

    def refresh(self) -> None:
        self.refreshes += 1
        self.version = f"v{self.refreshes}"

    def _rate(self, pending: Pending, rated_at: str) -> Rated | Rejected:
        outcome = super()._rate(pending, rated_at)
        if isinstance(outcome, Rejected):
            return outcome
        return replace(outcome, rating=replace(outcome.rating, model_version=self.version))


def test_the_model_changes_only_between_batches() -> None:
    world = World(batch=8)
    world.pipeline.classifier = Changing()
    for _ in range(6):
        world.produce(*["love", "\0", f"a {REFUSED}", "bad"] * 2)
        world.steps()
    assert len(world.delivery.commits) == 6
    versions = [
        outcome.rating.model_version if isinstance(outcome, Rated) else outcome.letter.model_version
        for outcome in world.outcomes
        if isinstance(outcome, Rated | Rejected)
    ]
    batches = [set(versions[start : start + 8]) for start in range(0, len(versions), 8)]
    assert all(len(batch) == 1 for batch in batches), batches
    assert len(set(versions)) == 6
