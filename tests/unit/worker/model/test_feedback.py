"""Authors' own stars: those a review carries, and those sent later to the feedback topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from tests.doubles import Faults, ManualClock, MemoryLog
from tests.fixtures.world import World
from worker.errors import TransientError
from worker.model.feedback import Feedback
from worker.ops.health import Health
from worker.ops.metrics import Metrics

LABELS = frozenset({1, 2, 3, 4, 5})


class MemoryTopic:
    """A topic in memory."""

    def __init__(self) -> None:
        self.batches: list[list[bytes | None]] = []
        self.polls = 0

    def send(self, *values: object) -> None:
        self.batches.append([json.dumps(value).encode() for value in values])

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        del most, timeout_s
        self.polls += 1
        return self.batches.pop(0) if self.batches else []


class MemoryRatings:
    """Redis in memory."""

    def __init__(self) -> None:
        self.by_id: dict[str, tuple[str, int]] = {}
        self.faults = Faults()

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        self.faults.raise_next()
        return {review_id: self.by_id[review_id] for review_id in review_ids if review_id in self.by_id}


@pytest.fixture
def topic() -> MemoryTopic:
    return MemoryTopic()


@pytest.fixture
def ratings() -> MemoryRatings:
    return MemoryRatings()


@pytest.fixture
def feedback(
    topic: MemoryTopic, ratings: MemoryRatings, metrics: Metrics, clock: ManualClock, log: MemoryLog
) -> Feedback:
    health = Health(clock, stall_s=120, parts=())
    return Feedback(topic, ratings, lambda: LABELS, metrics=metrics, health=health, log=log)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"starstream_{name}", labels)


def test_feedback_is_joined_with_the_rating_by_id(
    feedback: Feedback, topic: MemoryTopic, ratings: MemoryRatings, metrics: Metrics
) -> None:
    ratings.by_id = {"a": ("v1", 5), "b": ("v1", 5), "c": ("v2", 1)}
    topic.send({"review_id": "a", "score": 5}, {"review_id": "b", "score": 2}, {"review_id": "c", "score": 1})
    feedback.step()
    assert value(metrics, "feedback_reviews_total", model_version="v1", rating="5", score="5") == 1
    assert value(metrics, "feedback_reviews_total", model_version="v1", rating="5", score="2") == 1
    assert value(metrics, "feedback_correct_total", model_version="v1") == 1
    assert value(metrics, "feedback_error_stars_total", model_version="v1") == 3
    assert value(metrics, "feedback_correct_total", model_version="v2") == 1
    assert value(metrics, "feedback_total", outcome="counted") == 3


def test_feedback_without_a_rating_in_redis_is_counted_as_unrated(
    feedback: Feedback, topic: MemoryTopic, metrics: Metrics
) -> None:
    topic.send({"review_id": "unknown", "score": 5})
    feedback.step()
    assert value(metrics, "feedback_total", outcome="unrated") == 1
    assert value(metrics, "feedback_total", outcome="counted") == 0


def test_feedback_read_during_a_redis_outage_is_counted_once_afterwards(
    feedback: Feedback, topic: MemoryTopic, ratings: MemoryRatings, metrics: Metrics
) -> None:
    ratings.by_id = {"a": ("v1", 5)}
    ratings.faults.then(TransientError("redis", "connection refused"))
    topic.send({"review_id": "a", "score": 5}, "nonsense")
    with pytest.raises(TransientError):
        feedback.step()
    assert value(metrics, "feedback_total", outcome="unusable") == 0
    feedback.step()
    assert topic.polls == 1
    assert value(metrics, "feedback_total", outcome="counted") == 1
    assert value(metrics, "feedback_total", outcome="unusable") == 1


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b'{"review_id": "a", "score": "5"}', b'{"review_id": "a", "score": 9}']
)
def test_a_record_without_usable_feedback_is_counted_as_unusable(
    feedback: Feedback, topic: MemoryTopic, metrics: Metrics, content: bytes | None
) -> None:
    topic.batches.append([content])
    feedback.step()
    assert value(metrics, "feedback_total", outcome="unusable") == 1


def test_a_reviews_own_score_is_counted_when_it_is_committed_and_not_before() -> None:
    world = World()
    world.delivery.faults.then(TransientError("kafka", "connection refused"))
    world.produce('{"review_id": "a", "text": "love", "score": 5}', '{"review_id": "b", "text": "bad", "score": 4}')
    world.produce('{"review_id": "c", "text": "love"}', '{"review_id": "d", "text": "love", "score": 7}')
    world.steps()
    assert world.sample("starstream_feedback_total", outcome="counted") == 2, "read twice, counted once"
    assert world.sample("starstream_feedback_correct_total", model_version="stub-1") == 1
    assert world.sample("starstream_feedback_error_stars_total", model_version="stub-1") == 3
