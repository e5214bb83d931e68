"""Drift windows: an index only on enough reviews, bounded by count and time, one window for each version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.bundle import read_bundle
from schemas.drift import SCRIPT_BINS
from schemas.manifest import DriftBaseline, Manifest
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.doubles import ManualClock
from worker.model.drift import Drift, Observation
from worker.ops.metrics import Metrics

BASELINE = DriftBaseline(
    rating_shares=[0.2] * 5,
    confidence_edges=[0.5],
    confidence_shares=[0.5, 0.5],
    length_edges=[10],
    length_shares=[0.5, 0.5],
    unknown_ratio=0.1,
    script_shares={"latin": 1.0},
)


def manifest(version: str = TOY_VERSION, /, **baseline: object) -> Manifest:
    toy = read_bundle(TOY_REGISTRY / TOY_VERSION).manifest
    return toy.model_copy(update={"version": version, "baseline": BASELINE.model_copy(update=baseline)})


def observation(
    reviews: int = 100, *, stars: int | None = None, unknown_share: float = 0.1, script: str = "latin"
) -> Observation:
    """Return reviews like the baseline's, but for the arguments given."""
    numbers = np.arange(reviews)
    scripts = np.zeros(len(SCRIPT_BINS), dtype=np.int64)
    scripts[SCRIPT_BINS.index(script)] = reviews
    return Observation(
        choices=numbers % 5 if stars is None else np.full(reviews, stars - 1),
        confidences=np.where(numbers % 2, 0.4, 0.9),
        lengths=np.where(numbers % 2, 5, 15),
        unknown=round(unknown_share * 10 * reviews),
        scripts=scripts,
    )


def feed(drift: Drift, batches: int, **moved: Any) -> None:
    for _ in range(batches):
        drift.observe(manifest(), observation(**moved))


@pytest.fixture
def drift(metrics: Metrics, clock: ManualClock) -> Drift:
    return Drift(metrics, clock, reviews=2000, seconds=3600, min_reviews=500)


def index(metrics: Metrics, feature: str, version: str = TOY_VERSION) -> float | None:
    labels = {"model_version": version, "feature": feature}
    return metrics.registry.get_sample_value("starstream_drift_psi", labels)


def reviews(metrics: Metrics, version: str = TOY_VERSION) -> float | None:
    return metrics.registry.get_sample_value("starstream_drift_window_reviews", {"model_version": version})


def test_few_reviews_give_no_index(drift: Drift, metrics: Metrics) -> None:
    feed(drift, 5)
    assert reviews(metrics) == 400, "the current block is not counted yet"
    assert index(metrics, "stars") is None


def test_a_stream_like_the_baseline_has_an_index_of_zero(drift: Drift, metrics: Metrics) -> None:
    feed(drift, 20)
    for feature in ("stars", "confidence", "length", "unknown_words", "script"):
        assert index(metrics, feature) == pytest.approx(0, abs=1e-6), feature


@pytest.mark.parametrize(
    ("feature", "moved"),
    [
        ("stars", {"stars": 5}),
        ("unknown_words", {"unknown_share": 0.6}),
        ("script", {"script": "cyrillic"}),
    ],
)
def test_only_the_feature_that_moved_has_a_high_index(
    drift: Drift, metrics: Metrics, feature: str, moved: dict[str, Any]
) -> None:
    feed(drift, 20, **moved)
    for name in ("stars", "confidence", "length", "unknown_words", "script"):
        value = index(metrics, name)
        assert value is not None
        assert (value > 0.25) == (name == feature), name


def test_the_window_is_bounded_by_count(drift: Drift, metrics: Metrics) -> None:
    feed(drift, 30, stars=1)
    feed(drift, 25)
    assert index(metrics, "stars") == pytest.approx(0, abs=1e-6)
    assert reviews(metrics) == 2000


def test_the_window_is_bounded_by_time(drift: Drift, metrics: Metrics, clock: ManualClock) -> None:
    feed(drift, 10, stars=1)
    clock.advance(3601)
    feed(drift, 8)
    assert index(metrics, "stars") == pytest.approx(0, abs=1e-6)


def test_each_version_is_compared_with_its_own_baseline(drift: Drift, metrics: Metrics) -> None:
    other = manifest("v2", rating_shares=[0.0001, 0.0001, 0.0001, 0.0001, 0.9996])
    feed(drift, 10, stars=5)
    for _ in range(10):
        drift.observe(other, observation(stars=5))
    assert (index(metrics, "stars") or 0) > 1
    assert index(metrics, "stars", "v2") == pytest.approx(0, abs=0.01)


def test_a_version_that_left_starts_over_and_raises_no_alert(drift: Drift, metrics: Metrics) -> None:
    feed(drift, 10, stars=5)
    drift.keep({"v2"})
    assert index(metrics, "stars") == 0
    assert reviews(metrics) == 0
    feed(drift, 2)
    assert reviews(metrics) == 100, "counted from the beginning"


@pytest.mark.parametrize("baseline", [{"script_shares": {}}, {"rating_shares": [0.5, 0.5]}], ids=["old", "strange"])
def test_a_feature_that_the_baseline_lacks_has_no_index(
    drift: Drift, metrics: Metrics, baseline: dict[str, object]
) -> None:
    for _ in range(10):
        drift.observe(manifest(**baseline), observation())
    assert index(metrics, "script" if "script_shares" in baseline else "stars") is None
    assert index(metrics, "length") == pytest.approx(0, abs=1e-6)


def test_an_empty_batch_is_not_counted(drift: Drift, metrics: Metrics, clock: ManualClock) -> None:
    for _ in range(2):
        feed(drift, 1, reviews=0)
        clock.advance(200)  # a block's time
    assert reviews(metrics) is None
