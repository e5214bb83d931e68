"""The models of a running worker: the swap between batches, the candidate beside, the canary and its end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bundle import read_bundle
from schemas.inference import Scores
from tests.conftest import TOY_VERSION
from tests.doubles import REFUSED, ManualClock, MemoryLog, make_record
from tests.fixtures.broken import without_numbers
from tests.fixtures.bundles import FOURTH, SECOND, THIRD, Change, ToyRegistry
from worker.model.classifier import Encoded, TfliteClassifier
from worker.model.drift import Drift
from worker.model.reload import Lineup
from worker.model.runtime import load_runtime
from worker.model.serving import LiveClassifier
from worker.model.shadow import Limits, Shadow, is_picked
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated, Rejected
from worker.stream.parse import Parser

RATED_AT = "2026-01-01T00:00:00.000Z"
LIMITS = Limits(share=0.0, most_errors=3, most_disagreement=0.5, window_reviews=100, least_reviews=20)


@dataclass
class Offered:
    """What the reloader would offer."""

    lineup: Lineup


class Bench:
    """A live classifier on toys, without a registry's thread."""

    def __init__(self, folder: Path, clock: ManualClock, log: MemoryLog, metrics: Metrics) -> None:
        self.registry = ToyRegistry(folder / "models")
        self.clock, self.log, self.metrics = clock, log, metrics
        self.health = Health(clock, stall_s=120, parts=())
        self.published: list[Rated] = []
        self.offered = Offered(Lineup(self.toy(TOY_VERSION)))
        self.live = self.with_limits(LIMITS)

    def with_limits(self, limits: Limits, *, publish: bool = False) -> LiveClassifier:
        shared: dict[str, Any] = {"metrics": self.metrics, "health": self.health, "log": self.log}
        drift = Drift(self.metrics, self.clock, reviews=1000, seconds=3600, least_reviews=50)
        take = self.published.extend if publish else None
        shadow = Shadow(limits, drift=drift, clock=self.clock, publish=take, **shared)
        self.live = LiveClassifier(self.offered, shadow=shadow, drift=drift, **shared)
        return self.live

    def toy(self, version: str, change: Change | None = None) -> TfliteClassifier:
        if change is not None:
            self.registry.publish(version, change)
        runtime, interpreter = load_runtime("litert")
        bundle = read_bundle(self.registry.root / version)
        return TfliteClassifier(bundle, interpreter, runtime=runtime, metrics=self.metrics, clock=self.clock)

    def offer(self, stable: TfliteClassifier, candidate: TfliteClassifier | None = None) -> None:
        self.offered.lineup = Lineup(stable, candidate)

    def beside(self, candidate: TfliteClassifier) -> None:
        """Let a candidate run beside the one that serves."""
        self.offer(self.offered.lineup.stable, candidate)
        self.live.refresh()

    def rate(self, *texts: str) -> list[Rated | Rejected]:
        return self.live.rate(pending(*texts), RATED_AT)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"starstream_{name}", labels)


class Broken(TfliteClassifier):
    """A candidate whose graph fails, or lies, at run time."""

    error: Exception | None = None

    def score(self, encoded: Encoded) -> Scores:
        if self.error is not None:
            raise self.error
        without_numbers(self)
        return super().score(encoded)


@pytest.fixture
def bench(tmp_path: Path, clock: ManualClock, log: MemoryLog, metrics: Metrics) -> Bench:
    return Bench(tmp_path, clock, log, metrics)


def pending(*texts: str) -> list[Pending]:
    found = []
    for offset, text in enumerate(texts):
        outcome = Parser("text", 1000).parse(make_record(text, offset=offset, key=f"r{offset}".encode()), "v")
        assert isinstance(outcome, Pending)
        found.append(outcome)
    return found


def versions(outcomes: Sequence[Rated | Rejected]) -> Counter[str]:
    return Counter(each.rating.model_version for each in outcomes if isinstance(each, Rated))


def stars(outcomes: Sequence[Rated | Rejected]) -> list[int | None]:
    return [each.rating.rating if isinstance(each, Rated) else None for each in outcomes]


def test_an_offer_changes_nothing_until_the_loop_takes_it(bench: Bench) -> None:
    bench.offer(bench.toy(SECOND, Change(always=1)))
    assert bench.live.version == TOY_VERSION
    assert versions(bench.rate("love", "bad")) == {TOY_VERSION: 2}
    bench.live.refresh()
    assert bench.live.version == SECOND
    assert versions(bench.rate("love", "bad")) == {SECOND: 2}


def test_a_batch_under_way_is_rated_by_one_model_whatever_is_offered(bench: Bench) -> None:
    second = bench.toy(SECOND, Change(always=1))

    class Offering(TfliteClassifier):
        def score_now(self) -> None:
            bench.offer(second)

        def encode(self, pending: Sequence[Pending]) -> Encoded:
            self.score_now()
            return super().encode(pending)

    runtime, interpreter = load_runtime("litert")
    first = Offering(
        read_bundle(bench.registry.root / TOY_VERSION),
        interpreter,
        runtime=runtime,
        metrics=bench.metrics,
        clock=bench.clock,
    )
    bench.offer(first)
    bench.live.refresh()
    assert versions(bench.rate(*["love"] * 300)) == {TOY_VERSION: 300}
    bench.live.refresh()
    assert bench.live.version == SECOND


def test_a_swap_is_counted_logged_and_noted(bench: Bench) -> None:
    bench.offer(bench.toy(SECOND, Change()))
    bench.live.refresh()
    assert bench.value("model_reloads_total", role="stable", outcome="served") == 1
    info = {"cell": "gru", "variant": "float32", "runtime": load_runtime("litert")[0]}
    assert bench.value("model_info", model_version=TOY_VERSION, **info) == 0
    assert bench.value("model_info", model_version=SECOND, **info) == 1
    assert bench.health.notes["model"] == SECOND
    event = bench.log.events[-1]
    assert (event.event, event.fields) == ("model_serving", {"model_version": SECOND, "before": TOY_VERSION})


def test_a_candidate_beside_leaves_the_ratings_as_they_are(bench: Bench) -> None:
    texts = ("love", "bad", "ok", f"a {REFUSED}", "love love")
    alone = bench.rate(*texts)
    bench.beside(bench.toy(SECOND, Change(always=1)))
    assert bench.rate(*texts) == alone


def test_the_candidate_is_compared_review_by_review(bench: Bench) -> None:
    bench.beside(bench.toy(SECOND, Change(always=1)))
    bench.rate("love", "bad", "love", "ok", REFUSED)
    cells = {("5", "1"): 2, ("1", "1"): 1, ("3", "1"): 1, ("5", "5"): 0}
    for (stable, shadow), count in cells.items():
        labels = {"model_version": SECOND, "stable_rating": stable, "shadow_rating": shadow}
        assert bench.value("shadow_reviews_total", **labels) == count
    assert bench.value("shadow_agreed_total", model_version=SECOND) == 1
    assert bench.value("shadow_confidence_count", model_version=SECOND) == 4
    assert bench.value("shadow_expected_difference_count", model_version=SECOND) == 4
    assert bench.value("shadow_expected_difference_sum", model_version=SECOND) == pytest.approx(0, abs=1e-3)
    assert bench.value("shadow_seconds_count") == 1
    assert bench.value("shadow_info", model_version=SECOND) == 1
    assert bench.value("shadow_errors_total", kind="model") == 0, "what stable cannot rate is no fault of the candidate"


def test_a_candidates_series_start_at_zero_before_its_first_batch(bench: Bench) -> None:
    bench.beside(bench.toy(SECOND, Change(always=1)))
    for name in ("agreed_total", "confidence_count", "expected_difference_count"):
        assert bench.value(f"shadow_{name}", model_version=SECOND) == 0, name
    cell = {"model_version": SECOND, "stable_rating": "5", "shadow_rating": "1"}
    assert bench.value("shadow_reviews_total", **cell) == 0


def test_the_same_encoder_encodes_once(bench: Bench) -> None:
    calls = []

    class Counting(TfliteClassifier):
        def encode(self, pending: Sequence[Pending]) -> Encoded:
            calls.append(self.version)
            return super().encode(pending)

    def counting(version: str) -> TfliteClassifier:
        runtime, interpreter = load_runtime("litert")
        bundle = read_bundle(bench.registry.root / version)
        return Counting(bundle, interpreter, runtime=runtime, metrics=bench.metrics, clock=bench.clock)

    bench.registry.publish(SECOND, Change(temperature=2.0))
    bench.registry.publish(THIRD, Change(words={"zap": "love"}))
    bench.beside(counting(SECOND))
    bench.rate("love")
    assert calls == []
    bench.beside(counting(THIRD))
    bench.rate("zap")
    assert calls == [THIRD]
    labels = {"model_version": THIRD, "stable_rating": "3", "shadow_rating": "5"}
    assert bench.value("shadow_reviews_total", **labels) == 1, "each by its own table"
    bench.registry.publish(FOURTH, Change(max_tokens=8))
    bench.beside(counting(FOURTH))
    bench.rate("love")
    assert calls == [THIRD, FOURTH], "other settings are another encoder"


def test_a_candidate_that_ends_is_followed_no_more(bench: Bench) -> None:
    bench.beside(bench.toy(SECOND, Change(always=1)))
    bench.rate("love")
    bench.offer(bench.offered.lineup.stable)
    bench.live.refresh()
    bench.rate("love")
    assert bench.value("shadow_info", model_version=SECOND) == 0
    assert bench.value("shadow_confidence_count", model_version=SECOND) == 1
    assert "shadow" not in bench.health.notes


@pytest.mark.parametrize("error", [RuntimeError("x"), ValueError("x"), MemoryError(), None], ids=repr)
def test_a_candidate_that_fails_harms_nobody_and_is_switched_off(bench: Bench, error: Exception | None) -> None:
    bench.with_limits(replace(LIMITS, share=1.0))
    bench.registry.publish(SECOND)
    runtime, interpreter = load_runtime("litert")
    bundle = read_bundle(bench.registry.root / SECOND)
    broken = Broken(bundle, interpreter, runtime=runtime, metrics=bench.metrics, clock=bench.clock)
    broken.error = error
    bench.beside(broken)
    for _ in range(5):
        assert versions(bench.rate("love", "bad")) == {TOY_VERSION: 2}
    assert bench.value("shadow_errors_total", kind="model") == 3, "the limit, then nothing more"
    assert bench.value("shadow_info", model_version=SECOND) == 0
    assert bench.value("canary_returns_total", reason="errors") == 1
    assert bench.value("canary_share") == 0
    assert "3 of the last 3 batches failed (WORKER_SHADOW_MAX_ERRORS)" in bench.health.notes["shadow"]
    assert [each.event for each in bench.log.events if each.level == logging.ERROR] == ["canary_returned", "shadow_off"]
    bench.offer(bench.offered.lineup.stable)
    bench.live.refresh()
    bench.beside(broken)
    bench.rate("love")
    assert bench.value("shadow_errors_total", kind="model") == 3, "off until the worker restarts"


def test_the_canary_sends_out_its_share_of_the_candidates_ratings(bench: Bench) -> None:
    bench.with_limits(replace(LIMITS, share=0.25))
    bench.beside(bench.toy(SECOND, Change(temperature=2.0)))
    texts = ["love", "bad", "ok"] * 400
    outcomes = bench.rate(*texts)
    picked = {each.review_id for each in pending(*texts) if is_picked(each.review_id, 0.25)}
    assert 0.2 < len(picked) / len(texts) < 0.3
    rated = [each for each in outcomes if isinstance(each, Rated)]
    assert {each.rating.review_id for each in rated if each.rating.model_version == SECOND} == picked
    assert [each.rating.review_id for each in rated] == [f"r{number}" for number in range(1200)], "in order"
    assert stars(outcomes) == [5, 1, 3] * 400
    assert bench.value("canary_share") == 0.25
    assert "for 25% of the reviews" in bench.health.notes["shadow"]


def test_the_canarys_ratings_take_the_place_of_their_own_reviews(bench: Bench) -> None:
    bench.with_limits(replace(LIMITS, share=1.0))
    bench.beside(bench.toy(SECOND, Change(temperature=2.0)))
    outcomes = bench.rate(REFUSED, "love", f"a {REFUSED}", "bad", "ok")
    assert stars(outcomes) == [None, 5, None, 1, 3]
    ids = [each.rating.review_id for each in outcomes if isinstance(each, Rated)]
    assert ids == ["r1", "r3", "r4"]
    assert versions(outcomes) == {SECOND: 3}


def test_the_canary_ends_when_too_much_comes_out_otherwise(bench: Bench) -> None:
    bench.with_limits(replace(LIMITS, share=1.0))
    bench.beside(bench.toy(SECOND, Change(always=1)))
    assert versions(bench.rate(*["love"] * 19)) == {SECOND: 19}, "too few to judge by"
    bench.live.refresh()
    assert versions(bench.rate("love")) == {SECOND: 1}, "judged between two batches"
    bench.live.refresh()
    assert versions(bench.rate("love")) == {TOY_VERSION: 1}
    assert bench.value("canary_returns_total", reason="disagreement") == 1
    assert bench.value("canary_share") == 0
    assert bench.value("shadow_info", model_version=SECOND) == 1, "it is compared on"
    event = next(each for each in bench.log.events if each.event == "canary_returned")
    assert event.level == logging.ERROR
    assert "20 of the last 20 reviews have other stars" in bench.health.notes["canary"]
    bench.beside(bench.toy(THIRD, Change(temperature=2.0)))
    assert versions(bench.rate("love")) == {THIRD: 1}, "another version is another trial"


def test_the_window_forgets(bench: Bench) -> None:
    bench.with_limits(replace(LIMITS, share=1.0, least_reviews=100))
    bench.beside(bench.toy(SECOND, Change(always=1)))
    for _ in range(4):
        bench.rate(*["love"] * 10)  # disagree
        bench.rate(*["bad"] * 90)  # agree; another part of the same batch
        bench.live.refresh()
    assert bench.value("canary_returns_total", reason="disagreement") == 0
    for _ in range(10):
        bench.rate(*["love"] * 10)
        bench.live.refresh()
    assert bench.value("canary_returns_total", reason="disagreement") == 1


def test_the_shadows_ratings_are_published_all(bench: Bench) -> None:
    bench.with_limits(replace(LIMITS, share=0.5), publish=True)
    bench.beside(bench.toy(SECOND, Change(temperature=2.0)))
    outcomes = bench.rate(*["love", "bad"] * 50)
    assert versions(bench.published) == {SECOND: 100}
    assert 20 < versions(outcomes)[SECOND] < 80


def test_drift_looks_at_a_sample_of_a_large_batch(bench: Bench) -> None:
    for _ in range(2):
        bench.rate(*["love"] * 1000)
    assert bench.value("drift_window_reviews", model_version=TOY_VERSION) == 63
    assert (bench.value("drift_psi", model_version=TOY_VERSION, feature="stars") or 0) > 0.25


@given(st.text(min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_the_smaller(review_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert is_picked(review_id, high) >= is_picked(review_id, low)
    assert is_picked(review_id, 1.0)
    assert not is_picked(review_id, 0.0)


def test_labels_of_zero_and_one_are_compared_too(bench: Bench) -> None:
    matrix: npt.NDArray[np.intp] = np.array([0, 1, 1])
    bench.metrics.models.start_shadow("v", [0, 1])
    assert bench.metrics.models.count_shadow("v", [0, 1], matrix, np.array([0, 0, 1])) == 2
    cell = {"model_version": "v", "stable_rating": "1", "shadow_rating": "0"}
    assert bench.value("shadow_reviews_total", **cell) == 1


def test_series_of_versions_long_gone_leave_the_page(bench: Bench) -> None:
    for number in range(20):
        bench.metrics.models.start_shadow(f"v{number}", [1, 2, 3, 4, 5])
    found = {
        sample.labels["model_version"]
        for family in bench.metrics.registry.collect()
        for sample in family.samples
        if "model_version" in sample.labels
    }
    assert found == {f"v{number}" for number in range(14, 20)}
