"""The queue of requests: batched as the stream batches, bounded, and nothing is rated in vain."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from schemas.review import Review
from tests.unit.worker.rest.conftest import FrontFactory
from worker.records import Rated
from worker.rest.app import make_app
from worker.rest.front import Front, Outcomes
from worker.rest.rater import QueueFullError


def ignored(outcomes: Outcomes) -> None:
    del outcomes


def value(front: Front, name: str, **labels: str) -> float:
    return front.process.metrics.registry.get_sample_value(f"starstream_{name}", labels) or 0.0


def drain(front: Front) -> None:
    """Rate what is queued, on this thread."""
    front.rater.stop()
    front.rater.run()


def test_requests_of_many_clients_are_one_batch_and_each_gets_its_own(make_front: FrontFactory) -> None:
    front = make_front()
    texts = [["good"], ["bad", "good", "worst"], *[["bad"]] * 62]
    answers: list[Outcomes] = [[] for _ in texts]
    for some, answer in zip(texts, answers, strict=True):
        front.rater.submit([Review(text) for text in some], answer.extend)
    drain(front)
    stars = [[outcome.rating.rating for outcome in answer if isinstance(outcome, Rated)] for answer in answers]
    assert stars == [[5], [1, 5, 1], *[[1]] * 62]
    assert (value(front, "batch_reviews_count"), value(front, "batch_reviews_sum")) == (1, 66)
    assert (value(front, "reviews_settled_total", outcome="rated"), front.rater.waiting) == (66, 0)


def test_a_request_larger_than_a_batch_is_answered_whole_and_in_order(make_front: FrontFactory) -> None:
    front = make_front(batch_reviews=7)
    answer: Outcomes = []
    front.rater.submit([Review("good" if number % 3 else "bad", str(number)) for number in range(50)], answer.extend)
    drain(front)
    found = [(outcome.rating.review_id, outcome.rating.rating) for outcome in answer if isinstance(outcome, Rated)]
    assert found == [(str(number), 5 if number % 3 else 1) for number in range(50)]
    assert value(front, "batch_reviews_count") == 8


def test_a_full_queue_refuses_the_whole_request_and_takes_the_next_that_fits(make_front: FrontFactory) -> None:
    front = make_front(rest_queue_reviews=10, rest_max_reviews=10)
    front.rater.submit([Review("good")] * 8, ignored)
    with pytest.raises(QueueFullError):
        front.rater.submit([Review("good")] * 3, ignored)
    front.rater.submit([Review("good")] * 2, ignored)
    assert front.rater.waiting == 10
    drain(front)
    assert value(front, "reviews_settled_total", outcome="rated") == 10


def test_a_request_that_waited_too_long_gets_503_and_is_not_rated(make_front: FrontFactory) -> None:
    front = make_front(rest_deadline_s=0.01)
    answer = TestClient(make_app(front), "http://localhost").post("/v1/ratings", json={"text": "good"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "WORKER_REST_DEADLINE_S" in answer.json()["detail"]
    drain(front)
    assert (value(front, "reviews_settled_total", outcome="rated"), front.rater.waiting) == (0, 0)


def test_a_full_queue_is_429_with_retry_after(make_front: FrontFactory) -> None:
    front = make_front(rest_queue_reviews=2, rest_max_reviews=2)
    front.rater.submit([Review("good")] * 2, ignored)
    answer = TestClient(make_app(front), "http://localhost").post("/v1/ratings", json={"text": "good"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "WORKER_REST_QUEUE_REVIEWS" in answer.json()["detail"]
