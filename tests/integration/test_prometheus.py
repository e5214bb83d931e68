"""A real Prometheus computes the dashboards' figures from a worker's page, and says what it cannot do.

The page is the worker's own (`worker.ops.http_server`, `worker.ops.metrics`), fed here with known numbers;
test_worker_watched.py runs every query on the page of a worker that works.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.rating import LABELS
from tests.conftest import serving
from tests.deploy.assets import dashboard_queries
from tests.integration.prometheus import LocalPrometheus, QueryError, wait_for_data
from worker.ops.health_metrics import HealthCollector
from worker.ops.http_server import serve_http
from worker.ops.metrics import PHASES, Metrics
from worker.records import OUTCOME_NAMES

VERSION = "20260101T000000Z-0a1b2c3d"
CANDIDATE = "20260201T000000Z-4e5f6a7b"
LAG = {0: 40, 1: 2}


class _Health:
    alive = True
    reasons: Mapping[str, str] = {}
    notes: Mapping[str, str] = {}


class Page:
    """A worker's page whose counters move each time it is fed."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        registry.register(HealthCollector(_Health()))
        self.metrics = Metrics(registry)
        self.metrics.serve_model(range(1, 6), VERSION, {"cell": "gru", "variant": "int8", "runtime": "ai-edge-litert"})
        self.metrics.models.start_shadow(CANDIDATE, range(1, 6))
        self.target = f"127.0.0.1:{serve_http('127.0.0.1', 0, registry, _Health())}"

    def feed(self) -> None:
        """Count ten reviews: six rated, three rejected, one deleted. Both models rate ten, of which eight the same."""
        metrics, models = self.metrics, self.metrics.models
        metrics.consumed.inc(10)
        for outcome, count in zip(OUTCOME_NAMES, (6, 3, 1), strict=True):
            metrics.settled.labels(outcome).inc(count)
        for rating, count in ((1, 1), (2, 1), (4, 1), (5, 3)):
            metrics.ratings.labels(str(rating), VERSION).inc(count)
        metrics.ratings.labels(LABELS, VERSION).inc(10)  # as if a label model rated, too
        metrics.labels.labels("joy", VERSION).inc(4)
        metrics.confidence.labels(VERSION).observe_all(np.array([0.4, 0.7, 0.8, 0.8, 0.9, 0.9]))
        metrics.batch_reviews.observe(10)
        metrics.tokens.inc(80)
        metrics.unknown_tokens.inc(8)
        metrics.cells.inc(100)
        for phase in PHASES:
            metrics.phase_seconds.labels(phase).inc()
        for partition, lag in LAG.items():
            metrics.lag.labels("reviews", str(partition)).set(lag)
        models.count_shadow(CANDIDATE, range(1, 6), np.array([4] * 8 + [0, 4]), np.array([4] * 8 + [1, 3]), 8)
        models.shadow_difference.labels(CANDIDATE).observe_all(np.array([0.1] * 8 + [1.0, 1.2]))
        models.count_feedback(VERSION, 5, 5, 3)
        models.count_feedback(VERSION, 5, 3)


@pytest.fixture(scope="module")
def prometheus() -> Iterator[LocalPrometheus]:
    """A Prometheus that has seen the page move."""
    page = Page()
    with serving(LocalPrometheus(page.target)) as server:
        page.feed()
        for _ in range(3):
            server.wait_scraped(times=1)
            page.feed()
        server.wait_scraped()
        yield server


def test_figures_on_the_dashboard_are_those_of_the_page(prometheus: LocalPrometheus) -> None:
    queries = {query.where: query.expr for query in dashboard_queries(interval="30s")}

    def value(where: str) -> float:
        (sample,) = wait_for_data(prometheus, queries[where])
        return sample.value

    assert value("Lag / A") == sum(LAG.values())
    assert value("Ready / A") == 1
    assert value("Dead letters / A") == pytest.approx(0.3)
    assert value("Mean stars / A") == pytest.approx((1 + 2 + 4 + 3 * 5) / 6)
    assert value("Labels given / A") == pytest.approx(0.4)
    assert value("Confidence / B") == pytest.approx(1 / 6)
    assert value("Padding and unknown words / A") == pytest.approx(0.2)
    assert value("Padding and unknown words / B") == pytest.approx(0.1)
    assert value("Reviews in a batch / A") == pytest.approx(10)
    (model,) = wait_for_data(prometheus, queries["Model / A"])
    assert model.labels["model_version"] == VERSION
    assert value("Agreement by version / A") == pytest.approx(0.8)
    assert value("Stars apart / A") == pytest.approx(0.3)
    assert value("Online accuracy / A") == pytest.approx(0.75)
    assert value("Online error / A") == pytest.approx(0.5)
    assert value("Refusals / A") == 0
    cells = wait_for_data(prometheus, queries["Agreement matrix / A"])
    assert len(cells) == 25
    assert {cell.labels["stable_rating"] for cell in cells} == set("12345")
    phases = wait_for_data(prometheus, queries["Where the loop spends its time / A"])
    assert sum(phase.value for phase in phases) == pytest.approx(1)


def test_wrong_query_is_refused_with_its_reason(prometheus: LocalPrometheus) -> None:
    with pytest.raises(QueryError, match="parse error"):
        prometheus.query("sum(")
