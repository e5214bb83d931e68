"""A model is refreshed while the stream runs: shadow, promotion, return, and versions that are refused.

Real Kafka, real Redis, real processes, a registry in a folder. A test ends with every review counted.
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

from schemas.channels import STABLE
from schemas.output.rating_hash import rating_from_hash
from schemas.rating import Rating
from schemas.starter import starter_version
from tests.conftest import TOY_VERSION
from tests.fixtures.bundles import SECOND, THIRD, Change, ToyRegistry
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker
from worker.model.canary import is_picked

TEXTS = ("love it", "worst app", "ok", "something else 🙂", "bad but good")
ALWAYS_ONE = Change(always=1)  # so that a rating shows which version it is of


class Stream:
    """Produces about 1,000 reviews a second until the block ends."""

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
            self._deployment.produce(*map(review, ids))
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
        settings = {"registry": str(registry.root), "reload_interval_s": "0.2", **variables}
        return deployment.worker(*flags, **settings).ready()

    return started


def ratings(deployment: Deployment) -> list[Rating]:
    return [Rating.from_json(record.value) for record in deployment.read(deployment.output) if record.value]


def served(worker: RunningWorker, version: str) -> float:
    return worker.total("starstream_ratings_total", model_version=version)


def assert_each_review_is_rated_once(deployment: Deployment, sent: list[str]) -> Counter[str]:
    """Each review has one rating, right for its version, in the topic and in Redis; return the count by version."""
    found = ratings(deployment)
    counts = Counter(rating.review_id for rating in found)
    assert set(counts) == set(sent)
    assert max(counts.values()) == 1
    assert deployment.stored_ids() == set(sent)
    stars = {"love it": 5, "worst app": 1, "ok": 3, "something else 🙂": 3}
    for rating in found:
        text = TEXTS[int(rating.review_id.split("-")[1]) % len(TEXTS)]
        if rating.model_version == SECOND:
            assert rating.rating == 1, "SECOND gives 1 to every text"
        else:
            assert rating.model_version == TOY_VERSION
            assert rating.rating == stars.get(text, rating.rating)
        assert rating.rating is not None
        assert rating.confidence == rating.probabilities[rating.rating - 1]
    for rating in found[::211]:
        assert rating_from_hash(deployment.stored(rating.review_id), rating.review_id) == rating
    return Counter(rating.model_version for rating in found)


def test_a_version_is_shadowed_promoted_and_rolled_back_while_the_stream_runs(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    processes = 2  # test_refresh_trained.py and test_worker_refresh_s3.py have one
    worker = start(processes=processes, shadow_channel="candidate")
    with Stream(deployment) as stream:
        worker.until(lambda: served(worker, TOY_VERSION) > 200, "the stream runs")
        registry.publish(SECOND, ALWAYS_ONE)
        registry.point("candidate", SECOND)
        cell = {"model_version": SECOND, "stable_rating": "5", "shadow_rating": "1"}
        worker.until(lambda: worker.total("starstream_shadow_reviews_total", **cell) > 50, "the candidate is compared")
        assert served(worker, SECOND) == 0
        registry.point(STABLE, SECOND)
        worker.until(lambda: served(worker, SECOND) > 200, "the new version serves")
        registry.point(STABLE, TOY_VERSION)
        before = served(worker, TOY_VERSION)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 200, "the old version is back")
    worker.until(lambda: deployment.lag() == 0, "all committed")
    samples = worker.samples()
    assert worker.stop() == 0
    by_version = assert_each_review_is_rated_once(deployment, stream.sent)
    assert set(by_version) == {TOY_VERSION, SECOND}
    reloads = ("starstream_model_reloads_total", frozenset({("role", "stable"), ("outcome", "served")}))
    assert samples[reloads] == 2 * processes
    assert len(worker.said("model_loaded")) == processes, "promoted and rolled back from memory"
    serving = [event["model_version"] for event in worker.said("model_serving")]
    assert Counter(serving) == {TOY_VERSION: 2 * processes, SECOND: processes}


def test_neither_a_bad_bundle_nor_an_unreachable_registry_stops_the_stream(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    """What else makes a bundle bad is in tests/unit/worker/model/test_reload.py."""
    worker = start()

    def serves_on() -> dict[str, str]:
        """Wait for more ratings of the old version; return the notes of `/readyz`."""
        before = served(worker, TOY_VERSION)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 200, "the old version serves on")
        status, page = worker.get("/readyz")
        assert status == 200
        notes: dict[str, str] = json.loads(page)["notes"]
        return notes

    with Stream(deployment) as stream:
        worker.until(lambda: served(worker, TOY_VERSION) > 100, "the stream runs")
        registry.publish(THIRD)
        registry.corrupt(THIRD)
        registry.point(STABLE, THIRD)
        worker.until(lambda: worker.said("model_refused"), "refused")
        assert "sha256 differs from the manifest" in serves_on()["stable"]
        with registry.away():
            worker.until(lambda: worker.total("starstream_model_reloads_total", outcome="unreachable") > 3, "counted")
            assert "channels.json is missing" in serves_on()["registry"]
        worker.until(lambda: worker.said("registry_reachable"), "it is back")
        registry.publish(SECOND, ALWAYS_ONE)
        registry.point(STABLE, SECOND)
        worker.until(lambda: served(worker, SECOND) > 20, "the next good version serves")
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert worker.total("starstream_model_reloads_total", outcome="refused") == 1
    assert worker.total("starstream_model_refused") == 0
    assert len(worker.said("registry_unreachable")) == len(worker.said("model_refused")) == 1
    assert worker.stop() == 0
    assert set(assert_each_review_is_rated_once(deployment, stream.sent)) == {TOY_VERSION, SECOND}


def test_the_starter_rates_until_the_registry_has_a_version(deployment: Deployment, tmp_path: Path) -> None:
    folder = tmp_path / "none_yet"
    worker = deployment.worker(registry=str(folder), starter="on", reload_interval_s="0.2").ready()
    with Stream(deployment) as stream:
        worker.until(lambda: served(worker, starter_version()) > 100, "the stream runs")
        ToyRegistry(folder)
        worker.until(lambda: served(worker, TOY_VERSION) > 100, "the registry's first version serves")
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert len(worker.said("starter_serving")) == 1
    assert worker.stop() == 0
    found = ratings(deployment)
    assert sorted(rating.review_id for rating in found) == sorted(stream.sent), "each is rated, once"
    assert {rating.model_version for rating in found} == {starter_version(), TOY_VERSION}


def test_a_canary_rates_its_share_and_is_given_back_when_it_disagrees(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    registry.publish(SECOND, ALWAYS_ONE)
    registry.point("candidate", SECOND)
    worker = start(
        shadow_channel="candidate",
        canary_share="0.3",
        canary_min_reviews="400",
        canary_window_reviews="400",
        canary_max_disagreement="0.5",
    )
    worker.until(lambda: worker.total("starstream_canary_share") == 0.3, "the canary has its share")
    with Stream(deployment) as stream:
        worker.until(lambda: worker.said("canary_returned"), "the canary has ended")
        before = served(worker, SECOND)
        worker.until(lambda: served(worker, TOY_VERSION) > before + 500, "stable rates every review")
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert worker.total("starstream_canary_returns_total", reason="disagreement") == 1
    assert worker.total("starstream_canary_share") == 0
    assert served(worker, SECOND) == before > 0
    assert "have other stars" in json.loads(worker.get("/readyz")[1])["notes"]["canary"]
    assert worker.stop() == 0
    by_version = assert_each_review_is_rated_once(deployment, stream.sent)
    canary = [rating.review_id for rating in ratings(deployment) if rating.model_version == SECOND]
    assert all(is_picked(review_id, 0.3) for review_id in canary)
    assert by_version[SECOND] == before


def test_shadow_ratings_go_to_their_topic_only(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    topic = f"shadow-{deployment.mark}"
    deployment.kafka.create_topics({topic: 1})
    registry.publish(SECOND, ALWAYS_ONE)
    registry.point("candidate", SECOND)
    worker = start(shadow_channel="candidate", shadow_topic=topic)
    worker.until(lambda: worker.total("starstream_shadow_info") == 1, "it runs in shadow")
    ids = [f"review-{number}" for number in range(300)]
    deployment.produce(*map(review, ids))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    worker.until(lambda: len(deployment.read(topic)) == 300, "all shadow ratings")
    shadow = [Rating.from_json(record.value or b"") for record in deployment.read(topic)]
    assert {(rating.model_version, rating.rating) for rating in shadow} == {(SECOND, 1)}
    assert {rating.review_id for rating in shadow} == set(ids)
    assert set(assert_each_review_is_rated_once(deployment, ids)) == {TOY_VERSION}


def test_a_missing_shadow_topic_leaves_the_ratings_as_they_are(
    deployment: Deployment, registry: ToyRegistry, start: Callable[..., RunningWorker]
) -> None:
    registry.publish(SECOND, ALWAYS_ONE)
    registry.point("candidate", SECOND)
    worker = start(shadow_channel="candidate", shadow_topic=f"missing-{deployment.mark}", request_timeout_s="2")
    worker.until(lambda: worker.total("starstream_shadow_info") == 1, "it runs in shadow")
    ids = [f"review-{number}" for number in range(300)]
    deployment.produce(*map(review, ids))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    worker.until(lambda: worker.total("starstream_shadow_errors_total", kind="topic") > 0, "counted")
    assert set(assert_each_review_is_rated_once(deployment, ids)) == {TOY_VERSION}
    assert worker.stop() == 0


def test_feedback_of_reviews_and_of_its_topic_is_counted_by_version(
    deployment: Deployment, start: Callable[..., RunningWorker]
) -> None:
    topic = f"feedback-{deployment.mark}"
    worker = start("--processes", "2", feedback_topic=topic)
    worker.until(lambda: "no such topic; create it" in worker.get("/readyz")[1], "the missing topic is named")
    deployment.kafka.create_topics({topic: 2})
    own = {"review_id": "own", "text": "love it", "score": 4}
    deployment.produce(Message(json.dumps(own).encode(), b"own"), review("review-0"), review("review-1"))
    worker.until(lambda: deployment.lag() == 0, "rated")
    feedback = ({"review_id": "review-0", "score": 5}, {"review_id": "review-1", "score": 3}, {"review_id": "review-1"})
    for value in (*feedback, {"review_id": "unknown", "score": 5}):
        deployment.produce(Message(json.dumps(value).encode(), topic=topic))
    counted = "starstream_feedback_total"
    worker.until(lambda: worker.total(counted) == 5, "all five counted")
    outcomes = {outcome: worker.total(counted, outcome=outcome) for outcome in ("counted", "unrated", "unusable")}
    assert outcomes == {"counted": 3, "unrated": 1, "unusable": 1}
    matrix = "starstream_feedback_reviews_total"
    for rating, score in (("5", "4"), ("5", "5"), ("1", "3")):
        assert worker.total(matrix, model_version=TOY_VERSION, rating=rating, score=score) == 1
    assert worker.total("starstream_feedback_correct_total", model_version=TOY_VERSION) == 1
    assert worker.total("starstream_feedback_error_stars_total", model_version=TOY_VERSION) == 3
    assert worker.stop() == 0
