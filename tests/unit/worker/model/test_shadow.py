"""The shadow model: compared review by review, and switched off when it fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.inference import Scores
from tests.conftest import TOY_VERSION
from tests.doubles import REFUSED
from tests.fixtures.broken import without_numbers
from tests.fixtures.bundles import FOURTH, SECOND, THIRD, Change
from tests.fixtures.serving import LIMITS, ServingBench, versions
from worker.model.classifier import Encoded, TfliteClassifier
from worker.records import Pending


class Broken(TfliteClassifier):
    """A candidate whose graph raises `error`, or without one gives NaN."""

    error: Exception | None = None

    def score(self, encoded: Encoded) -> Scores:
        if self.error is not None:
            raise self.error
        without_numbers(self)
        return super().score(encoded)


def test_the_candidate_is_compared_review_by_review(bench: ServingBench) -> None:
    def cell(stable: str, shadow: str) -> float | None:
        labels = {"model_version": SECOND, "stable_rating": stable, "shadow_rating": shadow}
        return bench.value("shadow_reviews_total", **labels)

    bench.run_shadow(bench.toy(SECOND, Change(always=1)))
    for name in ("agreed_total", "confidence_count", "expected_difference_count"):
        assert bench.value(f"shadow_{name}", model_version=SECOND) == 0, "series start at zero"
    assert cell("5", "1") == 0
    bench.rate("love", "bad", "love", "ok", REFUSED)
    assert [cell("5", "1"), cell("1", "1"), cell("3", "1"), cell("5", "5")] == [2, 1, 1, 0]
    assert bench.value("shadow_agreed_total", model_version=SECOND) == 1
    assert bench.value("shadow_confidence_count", model_version=SECOND) == 4
    assert bench.value("shadow_expected_difference_count", model_version=SECOND) == 4
    assert bench.value("shadow_expected_difference_sum", model_version=SECOND) == pytest.approx(0, abs=1e-3)
    assert bench.value("shadow_seconds_count") == 1
    assert bench.value("shadow_info", model_version=SECOND) == 1
    assert bench.value("shadow_errors_total", kind="model") == 0, "a review that stable rejects is not its error"


def test_reviews_are_encoded_again_only_for_another_encoder(bench: ServingBench) -> None:
    calls = []

    class Counting(TfliteClassifier):
        def encode(self, pending: Sequence[Pending]) -> Encoded:
            calls.append(self.version)
            return super().encode(pending)

    bench.run_shadow(bench.toy(SECOND, Change(temperature=2.0), Counting))
    bench.rate("love")
    assert calls == []
    bench.run_shadow(bench.toy(THIRD, Change(words={"zap": "love"}), Counting))
    bench.rate("zap")
    assert calls == [THIRD]
    labels = {"model_version": THIRD, "stable_rating": "3", "shadow_rating": "5"}
    assert bench.value("shadow_reviews_total", **labels) == 1, "each by its own table"
    bench.run_shadow(bench.toy(FOURTH, Change(max_tokens=8), Counting))
    bench.rate("love")
    assert calls == [THIRD, FOURTH], "other settings make another encoder"


def test_a_candidate_that_leaves_its_channel_is_rated_no_more(bench: ServingBench) -> None:
    bench.run_shadow(bench.toy(SECOND, Change(always=1)))
    bench.rate("love")
    assert "runs in shadow" in bench.health.notes["shadow"]
    bench.run_shadow(None)
    bench.rate("love")
    assert bench.value("shadow_info", model_version=SECOND) == 0
    assert bench.value("shadow_confidence_count", model_version=SECOND) == 1
    assert "shadow" not in bench.health.notes


@pytest.mark.parametrize("error", [RuntimeError("x"), ValueError("x"), MemoryError(), None], ids=repr)
def test_a_candidate_that_fails_harms_no_rating_and_is_switched_off(
    bench: ServingBench, error: Exception | None
) -> None:
    bench.use(replace(LIMITS, share=1.0))
    broken = bench.toy(SECOND, Change(), Broken)
    broken.error = error  # type: ignore[attr-defined]
    bench.run_shadow(broken)
    for _ in range(5):
        assert versions(bench.rate("love", "bad")) == {TOY_VERSION: 2}
    assert bench.value("shadow_errors_total", kind="model") == 3, "it is off after the limit"
    assert bench.value("shadow_info", model_version=SECOND) == 0
    assert bench.value("canary_returns_total", reason="errors") == 1
    assert bench.value("canary_share") == 0
    assert "3 of the last 3 chunks failed (WORKER_SHADOW_MAX_ERRORS)" in bench.health.notes["shadow"]
    errors = [event.event for event in bench.log.events if event.level == logging.ERROR]
    assert errors == ["canary_returned", "shadow_off"]
    bench.run_shadow(None)
    bench.run_shadow(broken)
    bench.rate("love")
    assert bench.value("shadow_errors_total", kind="model") == 3, "off until the worker restarts"


def test_all_its_ratings_are_published(bench: ServingBench) -> None:
    bench.use(replace(LIMITS, share=0.5), publish=True)
    bench.run_shadow(bench.toy(SECOND, Change(temperature=2.0)))
    outcomes = bench.rate(*["love", "bad"] * 50)
    assert versions(bench.published) == {SECOND: 100}
    assert 20 < versions(outcomes)[SECOND] < 80
