"""A real Prometheus scrapes a worker's page: every query of dashboard and rules finds what it asks for.

The page is the worker's own (`worker.ops.http_server`, `worker.ops.metrics`), fed here; the end-to-end test does the
same with a worker that works. A renamed metric or a changed label value makes a query return nothing, which nobody
notices on a dashboard until the day it matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry

from deploy.process import ServiceUnavailable, free_port, wait_until
from schemas.dead_letter import REJECT_REASONS
from tests import PATIENCE_S
from tests.conftest import missing
from tests.deploy.assets import Query, alerts, dashboard_queries, drawn_events, recorded, selectors
from tests.integration.prometheus import LocalPrometheus, QueryError, wait_for_data
from worker.ops.http_server import serve_http
from worker.ops.metrics import (
    CHECKPOINT_RESULTS,
    ERROR_KINDS,
    PHASES,
    REBALANCE_EVENTS,
    SINKS,
    WRITE_RESULTS,
    Metrics,
)
from worker.ops.model_metrics import (
    DRIFT_FEATURES,
    FEEDBACK_OUTCOMES,
    RELOAD_OUTCOMES,
    RETURN_REASONS,
    ROLES,
    SHADOW_ERRORS,
)
from worker.records import OUTCOME_NAMES, RELEASE_REASONS

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
        self.registry = CollectorRegistry()
        self.registry.register(PROCESS_COLLECTOR)
        self.metrics = Metrics(self.registry)
        self.metrics.serve_model(range(1, 6), VERSION, {"cell": "gru", "variant": "int8", "runtime": "ai-edge-litert"})
        self.metrics.models.start_shadow(CANDIDATE, range(1, 6))
        self.target = f"127.0.0.1:{serve_http('127.0.0.1', 0, self.registry, _Health())}"

    def feed(self) -> None:
        """Let one of everything that can happen happen: of ten reviews six are rated, three rejected, one deleted."""
        metrics = self.metrics
        metrics.consumed.inc(10)
        for outcome, count in zip(OUTCOME_NAMES, (6, 3, 1), strict=True):
            metrics.settled.labels(outcome).inc(count)
        for rating, count in ((1, 1), (2, 1), (4, 1), (5, 3)):
            metrics.ratings.labels(str(rating), VERSION).inc(count)
        metrics.confidence.labels(VERSION).observe_all(np.array([0.4, 0.7, 0.8, 0.8, 0.9, 0.9]))
        metrics.latency.observe_all(np.array([0.02, 0.03, 0.03, 0.04, 0.04, 0.2]))
        metrics.batch_reviews.observe(10)
        metrics.batch_fill.observe(0.1)
        metrics.batch_wait.observe(0.002)
        metrics.set_batch_cost(0.010, 4e-6)
        metrics.tokens.inc(80)
        metrics.unknown_tokens.inc(8)
        metrics.cells.inc(100)
        metrics.inference.observe(0.004)
        for counter, values in (
            (metrics.rejected, REJECT_REASONS),
            (metrics.released, RELEASE_REASONS),
            (metrics.redis_writes, WRITE_RESULTS),
            (metrics.checkpoints, CHECKPOINT_RESULTS),
            (metrics.rebalances, REBALANCE_EVENTS),
            (metrics.phase_seconds, PHASES),
        ):
            for value in values:
                counter.labels(value).inc()
        for sink in SINKS:
            metrics.sink_seconds.labels(sink).observe(0.002)
            for kind in ERROR_KINDS:
                metrics.sink_errors.labels(sink, kind).inc()
        for partition, lag in LAG.items():
            metrics.lag.labels("reviews", str(partition)).set(lag)
        metrics.partitions_assigned.set(len(LAG))
        metrics.partitions_paused.set(0)
        metrics.ready.set(1)
        self._feed_models()

    def _feed_models(self) -> None:
        """Of ten reviews rated by both, eight the same; of four with their author's stars, three right."""
        models = self.metrics.models
        models.count_shadow(CANDIDATE, range(1, 6), np.array([4] * 8 + [0, 4]), np.array([4] * 8 + [1, 3]))
        models.shadow_difference.labels(CANDIDATE).observe_all(np.array([0.1] * 8 + [1.0, 1.2]))
        models.shadow_confidence.labels(CANDIDATE).observe_all(np.array([0.6] * 10))
        models.shadow_seconds.observe(0.006)
        models.count_feedback(VERSION, 5, 5, 3)
        models.count_feedback(VERSION, 5, 3)
        models.load_seconds.observe(0.2)
        models.canary_share.set(0.1)
        for feature in DRIFT_FEATURES:
            models.drift.labels(VERSION, feature).set(0.05)
        models.drift_reviews.labels(VERSION).set(5000)
        for counter, values in (
            (models.shadow_errors, SHADOW_ERRORS),
            (models.canary_returns, RETURN_REASONS),
            (models.feedback, FEEDBACK_OUTCOMES),
        ):
            for value in values:
                counter.labels(value).inc()
        for role in ROLES:
            for outcome in RELOAD_OUTCOMES:
                models.reloads.labels(role, outcome).inc()


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


@pytest.fixture(scope="module")
def prometheus(page: Page) -> Iterator[LocalPrometheus]:
    """A Prometheus that has seen the page move, and evaluated every recorded expression."""
    server = LocalPrometheus(page.target)
    try:
        server.start()
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))
    with server:
        page.feed()
        for _ in range(3):
            server.wait_scraped(times=1)
            page.feed()
        server.wait_scraped()
        for query in recorded():
            wait_for_data(server, query.where)
        yield server


@pytest.mark.parametrize("query", dashboard_queries(interval="30s"), ids=lambda query: query.where)
def test_dashboard_query_returns_data(prometheus: LocalPrometheus, query: Query) -> None:
    assert wait_for_data(prometheus, query.expr)


@pytest.mark.parametrize("query", recorded(), ids=lambda query: query.where)
def test_recorded_expression_returns_data(prometheus: LocalPrometheus, query: Query) -> None:
    assert wait_for_data(prometheus, query.where)


@pytest.mark.parametrize("query", drawn_events(), ids=lambda query: query.where)
def test_annotation_is_understood(prometheus: LocalPrometheus, query: Query) -> None:
    prometheus.query(query.expr)


@pytest.mark.parametrize("query", alerts(), ids=lambda query: query.where)
def test_alert_is_understood_and_everything_it_reads_is_there(prometheus: LocalPrometheus, query: Query) -> None:
    prometheus.query(query.expr)
    for selector in selectors(query.expr):
        assert prometheus.query(selector), f"no series: {selector}"


def test_figures_on_the_dashboard_are_those_of_the_page(prometheus: LocalPrometheus) -> None:
    queries = {query.where: query.expr for query in dashboard_queries(interval="30s")}

    def value(where: str) -> float:
        (sample,) = wait_for_data(prometheus, queries[where])
        return sample.value

    assert value("Lag / A") == sum(LAG.values())
    assert value("Ready / A") == 1
    assert value("Dead letters / A") == pytest.approx(0.3)
    assert value("Mean stars / A") == pytest.approx((1 + 2 + 4 + 3 * 5) / 6)
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
    assert sum(each.value for each in phases) == pytest.approx(1)


def test_a_wrong_query_is_refused_with_its_reason(prometheus: LocalPrometheus) -> None:
    with pytest.raises(QueryError, match="parse error"):
        prometheus.query("sum(")


def test_a_page_that_is_not_there_is_named() -> None:
    port = free_port()
    server = LocalPrometheus(f"127.0.0.1:{port}")
    try:
        server.start()
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))
    with server:
        wait_until(lambda: bool(server.last_scrape_error()), PATIENCE_S, "a scrape that fails")
        with pytest.raises(TimeoutError, match=rf"127\.0\.0\.1:{port}.*connection refused"):
            server.wait_scraped(timeout_s=0.1)
