"""Authors' own stars: those a review carries, and those that come later by a topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import Faults, ManualClock, MemoryLog
from tests.fixtures.world import World
from worker.errors import TransientError
from worker.model.feedback import Feedback, parse_feedback
from worker.ops.health import Health
from worker.ops.metrics import Metrics

LABELS = frozenset({1, 2, 3, 4, 5})


class Said:
    """A topic in memory."""

    def __init__(self) -> None:
        self.batches: list[list[bytes | None]] = []
        self.polls = 0

    def say(self, *values: object) -> None:
        self.batches.append([json.dumps(value).encode() for value in values])

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        del most, timeout_s
        self.polls += 1
        return self.batches.pop(0) if self.batches else []


class Known:
    """Redis in memory."""

    def __init__(self) -> None:
        self.ratings: dict[str, tuple[str, int]] = {}
        self.faults = Faults()

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        self.faults.strike()
        return {each: self.ratings[each] for each in review_ids if each in self.ratings}


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def feedback(said: Said, known: Known, metrics: Metrics, clock: ManualClock, log: MemoryLog) -> Feedback:
    health = Health(clock, stall_s=120, parts=())
    return Feedback(said, known, lambda: LABELS, metrics=metrics, health=health, log=log)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"starstream_{name}", labels)


def test_feedback_is_joined_with_the_rating_by_id(
    feedback: Feedback, said: Said, known: Known, metrics: Metrics
) -> None:
    known.ratings = {"a": ("v1", 5), "b": ("v1", 5), "c": ("v2", 1)}
    said.say({"review_id": "a", "score": 5}, {"review_id": "b", "score": 2}, {"review_id": "c", "score": 1})
    feedback.step()
    assert value(metrics, "feedback_reviews_total", model_version="v1", rating="5", score="5") == 1
    assert value(metrics, "feedback_reviews_total", model_version="v1", rating="5", score="2") == 1
    assert value(metrics, "feedback_correct_total", model_version="v1") == 1
    assert value(metrics, "feedback_error_stars_total", model_version="v1") == 3
    assert value(metrics, "feedback_correct_total", model_version="v2") == 1
    assert value(metrics, "feedback_total", outcome="counted") == 3


def test_feedback_of_a_review_that_is_not_rated_or_gone_is_counted_as_that(
    feedback: Feedback, said: Said, metrics: Metrics
) -> None:
    said.say({"review_id": "nobody", "score": 5})
    feedback.step()
    assert value(metrics, "feedback_total", outcome="unrated") == 1
    assert value(metrics, "feedback_total", outcome="counted") == 0


def test_an_outage_of_redis_counts_once_when_it_is_over(
    feedback: Feedback, said: Said, known: Known, metrics: Metrics
) -> None:
    known.ratings = {"a": ("v1", 5)}
    known.faults.then(TransientError("redis", "connection refused"))
    said.say({"review_id": "a", "score": 5}, "nonsense")
    with pytest.raises(TransientError):
        feedback.step()
    assert value(metrics, "feedback_total", outcome="unusable") == 0
    feedback.step()
    assert said.polls == 1
    assert value(metrics, "feedback_total", outcome="counted") == 1
    assert value(metrics, "feedback_total", outcome="unusable") == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b'"text"',
        b"{}",
        b'{"review_id": "a"}',
        b'{"review_id": "", "score": 5}',
        b'{"review_id": 7, "score": 5}',
        b'{"review_id": "a", "score": "5"}',
        b'{"review_id": "a", "score": true}',
        b'{"review_id": "a", "score": 9}',
        b'{"review_id": "a", "score": 4.5}',
        b'{"review_id": "a", "score": NaN}',
        b'{"review_id": "a", "score": null}',
    ],
)
def test_what_is_no_feedback_is_none(content: bytes | None) -> None:
    assert parse_feedback(content, LABELS) is None


def test_what_is_feedback() -> None:
    assert parse_feedback(b'{"review_id": "a", "score": 4.0, "by": "x"}', LABELS) == ("a", 4)
    assert parse_feedback(b'{"reviewId": "a", "score": 4}', LABELS) == ("a", 4)


@given(st.binary(max_size=60))
def test_no_bytes_break_it(content: bytes) -> None:
    parse_feedback(content, LABELS)


def test_a_reviews_own_score_is_counted_once_it_is_committed_and_not_before() -> None:
    world = World()
    world.delivery.faults.then(TransientError("kafka", "connection refused"))
    world.produce('{"review_id": "a", "text": "love", "score": 5}', '{"review_id": "b", "text": "bad", "score": 4}')
    world.produce('{"review_id": "c", "text": "love"}', '{"review_id": "d", "text": "love", "score": 7}')
    world.steps()
    assert world.sample("starstream_feedback_total", outcome="counted") == 2, "read twice, counted once"
    assert world.sample("starstream_feedback_correct_total", model_version="stub-1") == 1
    assert world.sample("starstream_feedback_error_stars_total", model_version="stub-1") == 3
