"""A model is refreshed while the stream runs: shadow, promotion, return, and what must be refused.

Real Kafka, real Redis, real processes, a registry in a folder. Each test ends with every review counted.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from kafka import KafkaProducer

from schemas.bundle import STABLE
from schemas.rating import Rating, rating_from_hash
from tests.conftest import TOY_VERSION
from tests.fixtures.bundles import SECOND, THIRD, Change, ToyRegistry
from tests.fixtures.running import Deployment, Message, RunningWorker
from worker.model.canary import is_picked

TEXTS = ("love it", "worst app", "ok", "something else 🙂", "bad but good")
OTHERWISE = Change(always=1)  # so that a rating tells whose it is


class Stream:
    """Reviews that keep coming until the block ends: about 1,000 a second."""

    def __init__(self, deployment: Deployment) -> None:
        self.sent: list[str] = []
        self._deployment = deployment
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        numbers = itertools.count()
        while not self._stop.wait(0.02):
            ids = [f"review-{next(numbers)}" for _ in range(20)]
            self._deployment.produce(*(review(each) for each in ids))
            self.sent += ids


def review(review_id: str) -> Message:
    text = TEXTS[int(review_id.split("-")[1]) % len(TEXTS)]
    return Message(json.dumps({"review_id": review_id, "text": text}, ensure_ascii=False).encode(), review_id.encode())


@pytest.fixture
def registry(tmp_path: Path) -> ToyRegistry:
    return ToyRegistry(tmp_path / "models")


@pytest.fixture
def start(deployment: Deployment, registry: ToyRegistry) -> Callable[..., RunningWorker]:
    def started(*flags: str, **variables: str) -> RunningWorker:
        asked = {"registry": str(registry.root), "reload_interval_s": "0.2", **variables}
        return deployment.worker(*flags, **asked).ready()

    return started


def ratings(deployment: Deployment) -> list[Rating]:
    return [Rating.from_json(each.value) for each in deployment.read(deployment.output) if each.value]


def served(worker: RunningWorker, version: str) -> float:
    return worker.total("starstream_ratings_total", model_version=version)


def assert_every_review_once_and_whole(deployment: Deployment, sent: list[str]) -> Counter[str]:
    """No review is lost, doubled, or rated by a torn model; Redis says the same. Return how many each version rated."""
    found = ratings(deployment)
    counts = Counter(each.review_id for each in found)
    assert set(counts) == set(sent)
    assert max(counts.values()) == 1
    assert deployment.stored_ids() == set(sent)
    for each in found:
        own = {"love it": 5, "worst app": 1, "ok": 3, "something else 🙂": 3}
        text = TEXTS[int(each.review_id.split("-")[1]) % len(TEXTS)]
        if each.model_version == SECOND:
            assert each.rating == 1, "the second says 1 whatever it reads"
        else:
            assert each.model_version == TOY_VERSION
            assert each.rating == own.get(text, each.rating)
        assert each.confidence == each.probabilities[each.rating - 1]
    for each in found[::211]:
        assert rating_from_hash(deployment.stored(each.review_id)) == each
    return Counter(each.model_version for each in found)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_version_is_shadowed_promoted_and_taken_back_while_the_stream_runs(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker], processes: int
) -> None:
    worker = start("--processes", str(processes), shadow_channel="candidate")
    with Stream(deployment) as stream:
        worker.until(lambda: served(worker, TOY_VERSION) > 200, "the stream runs")
        registry.publish(SECOND, OTHERWISE)
        registry.point("candidate", SECOND)
        cell = {"model_version": SECOND, "stable_rating": "5", "shadow_rating": "1"}
        worker.until(lambda: worker.total("starstream_shadow_reviews_total", **cell) > 50, "the candidate is compared")
        assert served(worker, SECOND) == 0
        registry.point(STABLE, SECOND)
        worker.until(lambda: served(worker, SECOND) > 200, "the new version serves", timeout_s=15)
        registry.point(STABLE, TOY_VERSION)
        before = served(worker, TOY_VERSION)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 200, "the old version is back", timeout_s=15)
    worker.until(lambda: deployment.lag() == 0, "all committed")
    samples = worker.samples()
    assert worker.stop() == 0
    by_version = assert_every_review_once_and_whole(deployment, stream.sent)
    assert set(by_version) == {TOY_VERSION, SECOND}
    reloads = ("starstream_model_reloads_total", frozenset({("role", "stable"), ("outcome", "served")}))
    assert samples[reloads] == 2 * processes
    assert len(worker.said("model_loaded")) == processes, "promoted and taken back from memory"
    serving = [each["model_version"] for each in worker.said("model_serving")]
    assert Counter(serving) == {TOY_VERSION: 2 * processes, SECOND: processes}


def corrupted(registry: ToyRegistry) -> None:
    registry.publish(SECOND, OTHERWISE)
    registry.corrupt(SECOND)
    registry.point(STABLE, SECOND)


def other_labels(registry: ToyRegistry) -> None:
    registry.publish(SECOND, Change(labels=(0, 1, 2, 3, 4)))
    registry.point(STABLE, SECOND)


def higher_schema(registry: ToyRegistry) -> None:
    registry.publish(SECOND, Change(schema_version=2))
    registry.point(STABLE, SECOND)


BAD = {
    "corrupted": (corrupted, "sha256 differs from the manifest"),
    "other_labels": (other_labels, "its labels [0, 1, 2, 3, 4] are not the serving [1, 2, 3, 4, 5]"),
    "higher_schema": (higher_schema, "schema_version 2, this release reads 1"),
}


@pytest.mark.parametrize(("spoil", "reason"), BAD.values(), ids=BAD)
def test_a_bad_bundle_is_refused_with_its_reason_while_the_stream_goes_on(
    deployment: Deployment,
    registry: ToyRegistry,
    start: Callable[..., RunningWorker],
    spoil: Callable[[ToyRegistry], None],
    reason: str,
) -> None:
    worker = start()
    with Stream(deployment) as stream:
        worker.until(lambda: served(worker, TOY_VERSION) > 100, "the stream runs")
        spoil(registry)
        worker.until(lambda: worker.said("model_refused"), "refused")
        before = served(worker, TOY_VERSION)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 200, "the old version serves on")
        status, page = worker.get("/readyz")
        registry.publish(THIRD)
        registry.point(STABLE, THIRD)
        worker.until(lambda: served(worker, THIRD) > 20, "the next good one serves", timeout_s=15)
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert worker.total("starstream_model_reloads_total", outcome="refused") == 1
    assert worker.total("starstream_model_refused") == 0
    assert status == 200
    assert reason in json.loads(page)["notes"]["stable"]
    (event,) = worker.said("model_refused")
    assert reason in event["reason"]
    assert worker.stop() == 0
    found = ratings(deployment)
    assert Counter(each.review_id for each in found) == Counter(stream.sent)
    assert {each.model_version for each in found} == {TOY_VERSION, THIRD}


def test_a_registry_that_is_away_does_not_stop_the_stream(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    worker = start()
    with Stream(deployment) as stream:
        worker.until(lambda: served(worker, TOY_VERSION) > 100, "the stream runs")
        registry.hide()
        worker.until(lambda: worker.total("starstream_model_reloads_total", outcome="unreachable") > 3, "counted")
        before = served(worker, TOY_VERSION)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 200, "the stream goes on")
        status, page = worker.get("/readyz")
        registry.bring_back()
        worker.until(lambda: worker.said("registry_reachable"), "it is back")
        registry.publish(SECOND, OTHERWISE)
        registry.point(STABLE, SECOND)
        worker.until(lambda: served(worker, SECOND) > 20, "and heard", timeout_s=15)
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert status == 200
    assert "channels.json is missing" in json.loads(page)["notes"]["registry"]
    assert len(worker.said("registry_unreachable")) == 1
    assert worker.stop() == 0
    assert_every_review_once_and_whole(deployment, stream.sent)


def test_an_idle_worker_takes_the_new_version_too(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    worker = start()
    registry.publish(SECOND, OTHERWISE)
    registry.point(STABLE, SECOND)
    worker.until(lambda: len(worker.said("model_serving")) == 2, "it serves", timeout_s=15)
    deployment.produce(review("review-0"))
    worker.until(lambda: deployment.lag() == 0, "rated")
    assert [each.model_version for each in ratings(deployment)] == [SECOND]


def test_a_canary_rates_its_share_and_is_given_back_when_it_disagrees(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    registry.publish(SECOND, OTHERWISE)
    registry.point("candidate", SECOND)
    worker = start(
        shadow_channel="candidate",
        canary_share="0.3",
        canary_min_reviews="400",
        canary_window_reviews="400",
        canary_max_disagreement="0.5",
    )
    worker.until(lambda: worker.total("starstream_canary_share") == 0.3, "the canary is out")
    with Stream(deployment) as stream:
        worker.until(lambda: worker.said("canary_returned"), "the canary is given back")
        before = served(worker, SECOND)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 500, "stable rates all")
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert worker.total("starstream_canary_returns_total", reason="disagreement") == 1
    assert worker.total("starstream_canary_share") == 0
    assert served(worker, SECOND) == before > 0
    assert "have other stars" in json.loads(worker.get("/readyz")[1])["notes"]["canary"]
    assert worker.stop() == 0
    by_version = assert_every_review_once_and_whole(deployment, stream.sent)
    canary = [each.review_id for each in ratings(deployment) if each.model_version == SECOND]
    assert all(is_picked(review_id, 0.3) for review_id in canary)
    assert by_version[SECOND] == before


def test_shadow_ratings_go_to_their_topic_and_nowhere_else(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    topic = f"shadow-{deployment.mark}"
    deployment.kafka.create_topics({topic: 1})
    registry.publish(SECOND, OTHERWISE)
    registry.point("candidate", SECOND)
    worker = start(shadow_channel="candidate", shadow_topic=topic)
    worker.until(lambda: worker.total("starstream_shadow_info") == 1, "it runs beside")
    ids = [f"review-{number}" for number in range(300)]
    deployment.produce(*map(review, ids))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    worker.until(lambda: len(deployment.read(topic)) == 300, "all beside, too")
    shadow = [Rating.from_json(each.value or b"") for each in deployment.read(topic)]
    assert {(each.model_version, each.rating) for each in shadow} == {(SECOND, 1)}
    assert {each.review_id for each in shadow} == set(ids)
    assert set(assert_every_review_once_and_whole(deployment, ids)) == {TOY_VERSION}


def test_a_shadow_topic_that_is_missing_harms_nothing(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    registry.publish(SECOND, OTHERWISE)
    registry.point("candidate", SECOND)
    worker = start(shadow_channel="candidate", shadow_topic=f"missing-{deployment.mark}", request_timeout_s="2")
    worker.until(lambda: worker.total("starstream_shadow_info") == 1, "it runs beside")
    ids = [f"review-{number}" for number in range(300)]
    deployment.produce(*map(review, ids))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    worker.until(lambda: worker.total("starstream_shadow_errors_total", kind="topic") > 0, "counted")
    assert set(assert_every_review_once_and_whole(deployment, ids)) == {TOY_VERSION}
    assert worker.stop() == 0


def test_feedback_makes_accuracy_by_version_from_the_review_and_from_its_topic(
    deployment: Deployment, start: Callable[..., RunningWorker]
) -> None:
    topic = f"feedback-{deployment.mark}"
    worker = start("--processes", "2", feedback_topic=topic)
    worker.until(lambda: "no such topic; create it" in worker.get("/readyz")[1], "it says what is missing")
    deployment.kafka.create_topics({topic: 2})
    own = {"review_id": "own", "text": "love it", "score": 4}
    deployment.produce(Message(json.dumps(own).encode(), b"own"), review("review-0"), review("review-1"))
    worker.until(lambda: deployment.lag() == 0, "rated")
    say(deployment, topic, {"review_id": "review-0", "score": 5}, {"review_id": "review-1", "score": 3})
    say(deployment, topic, {"review_id": "nobody", "score": 5}, {"review_id": "review-1"})
    counted = "starstream_feedback_total"
    worker.until(lambda: worker.total(counted) == 5, "all heard")
    outcomes = {outcome: worker.total(counted, outcome=outcome) for outcome in ("counted", "unrated", "unusable")}
    assert outcomes == {"counted": 3, "unrated": 1, "unusable": 1}
    matrix = "starstream_feedback_reviews_total"
    for rating, score in (("5", "4"), ("5", "5"), ("1", "3")):
        assert worker.total(matrix, model_version=TOY_VERSION, rating=rating, score=score) == 1
    assert worker.total("starstream_feedback_correct_total", model_version=TOY_VERSION) == 1
    assert worker.total("starstream_feedback_error_stars_total", model_version=TOY_VERSION) == 3
    assert worker.stop() == 0


def say(deployment: Deployment, topic: str, *values: object) -> None:
    producer = KafkaProducer(bootstrap_servers=deployment.kafka.bootstrap)
    for value in values:
        producer.send(topic, json.dumps(value).encode())
    producer.close()
