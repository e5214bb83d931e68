"""Authors' own stars: those a review carries, and those sent later to the feedback topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from tests.doubles import Faults, ManualClock, MemoryLog
from tests.fixtures.world import GONE, KAFKA_GONE, World
from worker.errors import TransientError
from worker.model.feedback import Feedback
from worker.ops.health import Health
from worker.ops.metrics import Metrics

LABELS = frozenset({1, 2, 3, 4, 5})


class Bench:
    """Feedback on a topic and on ratings in memory."""

    def __init__(self, metrics: Metrics, clock: ManualClock, log: MemoryLog) -> None:
        self.batches: list[list[bytes | None]] = []
        self.polls = 0
        self.ratings: dict[str, tuple[str, int]] = {}
        self.faults = Faults()
        self._value = metrics.registry.get_sample_value
        health = Health(clock, stall_s=120, parts=())
        self.feedback = Feedback(self, self, lambda: LABELS, metrics=metrics, health=health, log=log)

    def send(self, *values: object) -> None:
        self.batches.append([json.dumps(value).encode() for value in values])

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        del most, timeout_s
        self.polls += 1
        return self.batches.pop(0) if self.batches else []

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        self.faults.raise_next()
        return {review_id: self.ratings[review_id] for review_id in review_ids if review_id in self.ratings}

    def value(self, name: str, **labels: str) -> float | None:
        return self._value(f"starstream_feedback_{name}", labels)

    @property
    def outcomes(self) -> dict[str, float | None]:
        return {outcome: self.value("total", outcome=outcome) for outcome in ("counted", "unrated", "unusable")}


@pytest.fixture
def bench(metrics: Metrics, clock: ManualClock, log: MemoryLog) -> Bench:
    return Bench(metrics, clock, log)


def test_feedback_is_joined_with_the_rating_by_id(bench: Bench) -> None:
    bench.ratings = {"a": ("v1", 5), "b": ("v1", 5), "c": ("v2", 1)}
    reviews = [("a", 5), ("b", 2), ("c", 1), ("unknown", 5)]
    bench.send(*({"review_id": review_id, "score": score} for review_id, score in reviews))
    bench.feedback.step()
    assert bench.value("reviews_total", model_version="v1", rating="5", score="5") == 1
    assert bench.value("reviews_total", model_version="v1", rating="5", score="2") == 1
    assert bench.value("correct_total", model_version="v1") == 1
    assert bench.value("error_stars_total", model_version="v1") == 3
    assert bench.value("correct_total", model_version="v2") == 1
    assert bench.outcomes == {"counted": 3, "unrated": 1, "unusable": 0}


def test_feedback_read_during_a_redis_outage_is_counted_once_afterwards(bench: Bench) -> None:
    bench.ratings = {"a": ("v1", 5)}
    bench.faults.then(GONE)
    bench.send({"review_id": "a", "score": 5}, "nonsense")
    with pytest.raises(TransientError):
        bench.feedback.step()
    assert bench.outcomes == {"counted": 0, "unrated": 0, "unusable": 0}
    for polls in (1, 2):
        bench.feedback.step()
        assert bench.polls == polls
        assert bench.outcomes == {"counted": 1, "unrated": 0, "unusable": 1}


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"review_id": "a", "score": "5"}', b'{"review_id": "a", "score": 9}']
)
def test_a_record_without_usable_feedback_is_counted_as_unusable(bench: Bench, content: bytes | None) -> None:
    bench.batches.append([content])
    bench.feedback.step()
    assert bench.outcomes == {"counted": 0, "unrated": 0, "unusable": 1}


def test_a_reviews_own_score_is_counted_when_it_is_committed_and_not_before() -> None:
    world = World()
    world.delivery.faults.then(KAFKA_GONE)
    world.produce('{"review_id": "a", "text": "love", "score": 5}', '{"review_id": "b", "text": "bad", "score": 4}')
    world.produce('{"review_id": "c", "text": "love"}', '{"review_id": "d", "text": "love", "score": 7}')
    world.steps()
    assert world.sample("starstream_feedback_total", outcome="counted") == 2, "read twice, counted once"
    assert world.sample("starstream_feedback_correct_total", model_version="stub-1") == 1
    assert world.sample("starstream_feedback_error_stars_total", model_version="stub-1") == 3
