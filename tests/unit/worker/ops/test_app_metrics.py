"""Ratings and stars of the apps that are named, and of no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.doubles import WALL_S, make_rated
from worker.ops.metrics import Metrics
from worker.records import Rated
from worker.settings import WorkerSettings


def of(app: str | None, rating: int, **marks: bool) -> Rated:
    rated = make_rated(rating=rating, app_id=app)
    return Rated(rated.record, replace(rated.rating, **marks))  # type: ignore[arg-type]


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


@pytest.mark.usefixtures("clean_environment")
def test_apps_are_named_with_commas_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_APP_METRICS", "app.a, app.b")
    assert WorkerSettings().app_metrics == ["app.a", "app.b"]
    with pytest.raises(ValueError, match="50"):
        WorkerSettings(app_metrics=[f"app.{number}" for number in range(51)])
