"""Ratings and stars of the apps that are named, and of no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.doubles import WALL_S, make_rated
from worker.ops.app_metrics import NewestVersions
from worker.ops.metrics import Metrics
from worker.records import Rated
from worker.settings import WorkerSettings


def of(app: str | None, rating: int | None, **more: Any) -> Rated:
    rated = make_rated(app_id=app)
    return Rated(rated.record, replace(rated.rating, rating=rating, **more))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"starstream_app_{name}_total", labels)


def test_named_apps_are_counted_and_start_at_zero(metrics: Metrics) -> None:
    metrics.apps.apps = frozenset({"maps", "mail"})
    metrics.serve_model([1, 2, 3, 4, 5], "v1", {"cell": "gru", "variant": "int8", "runtime": "x"})
    assert value(metrics, "ratings", app_id="mail", rating="3") == 0
    reviews = [of("maps", 5), of("maps", 5, mismatch=True), of("maps", 1, uncertain=True), of("other", 1), of(None, 1)]
    metrics.count_outcomes(reviews, WALL_S)
    assert [value(metrics, "ratings", app_id="maps", rating=str(star)) for star in (1, 2, 5)] == [1, 0, 2]
    assert (value(metrics, "stars", app_id="maps"), value(metrics, "stars", app_id="mail")) == (11, 0)
    assert [value(metrics, "marked", app_id="maps", mark=mark) for mark in ("uncertain", "mismatch")] == [1, 1]
    assert value(metrics, "stars", app_id="other") is None


def test_without_named_apps_nothing_is_counted(metrics: Metrics) -> None:
    metrics.count_outcomes([of("maps", 5)], WALL_S)
    assert value(metrics, "stars", app_id="maps") is None


def by_version(metrics: Metrics, app: str) -> dict[str, tuple[float, float]]:
    """Return ratings and stars of each version that has series."""
    found: dict[str, list[float]] = {}
    for name in ("ratings", "stars"):
        for family in metrics.registry.collect():
            for sample in family.samples:
                if sample.name == f"starstream_app_version_{name}_total" and sample.labels["app_id"] == app:
                    found.setdefault(sample.labels["app_version"], []).append(sample.value)
    return {version: (ratings, stars) for version, (ratings, stars) in found.items()}


def test_the_newest_versions_of_named_apps_are_counted_and_the_others_as_one(metrics: Metrics) -> None:
    metrics.apps.apps, metrics.apps.newest_versions = frozenset({"maps", "mail"}), 2
    old = [of("maps", 5, app_version=version) for version in ("4.9.2", "4.10.0", "3.0", "4.9.2")]
    metrics.count_outcomes([*old, of("maps", 2), of("other", 1, app_version="4.10.0")], WALL_S)
    assert by_version(metrics, "maps") == {"4.10.0": (1, 5), "4.9.2": (2, 10), "other": (1, 5), "unknown": (1, 2)}
    release = [of("maps", 1, app_version=version) for version in ("4.11.0-beta", "4.9.2", "4.10.0")]
    metrics.count_outcomes(release, WALL_S)
    assert by_version(metrics, "maps") == {
        "4.11.0-beta": (1, 1), "4.10.0": (2, 6), "4.9.2": (2, 10), "other": (2, 6), "unknown": (1, 2),
    }  # fmt: skip
    assert (by_version(metrics, "mail"), by_version(metrics, "other")) == ({}, {})
    assert value(metrics, "ratings", app_id="maps", rating="5") == 4


@pytest.mark.parametrize(
    ("versions", "most", "labels"),
    [
        (["1", "2", "3", "1", "2"], 2, ["1", "2", "3", "other", "2"]),
        (["2.0", "10.0", "9.9", "2.0"], 1, ["2.0", "10.0", "other", "other"]),
        (["v", "1"], 1, ["v", "1"]),
        (["1" * 65, "1." * 32, ""], 5, ["other", "1." * 32, "unknown"]),
    ],
)
def test_a_newer_version_takes_the_place_of_the_oldest(versions: Sequence[str], most: int, labels: list[str]) -> None:
    newest = NewestVersions(most)
    assert [newest.label(version) for version in versions] == labels


def test_a_producer_that_counts_versions_up_makes_no_more_series_than_the_limit() -> None:
    newest = NewestVersions(2)
    assert len({newest.label(f"1.{number}") for number in range(10_000)}) == 41
    assert newest.label("1.39") == "1.39", "the last that came in stay"


def test_without_versions_or_with_labels_there_are_no_series_by_version(metrics: Metrics) -> None:
    metrics.apps.apps = frozenset({"maps"})
    metrics.count_outcomes([of("maps", 5, app_version="1")], WALL_S)
    metrics.apps.newest_versions = 5
    metrics.count_outcomes([of("maps", None, labels={"joy": 0.9}, app_version="1")], WALL_S)
    assert by_version(metrics, "maps") == {}


@pytest.mark.usefixtures("clean_environment")
def test_apps_are_named_with_commas_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_APP_METRICS", "app.a, app.b")
    assert WorkerSettings().app_metrics == ["app.a", "app.b"]
    with pytest.raises(ValueError, match="50"):
        WorkerSettings(app_metrics=[f"app.{number}" for number in range(51)])
