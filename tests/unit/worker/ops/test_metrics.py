"""The metrics: names, label sets from the start, and a batch counted as its reviews one by one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.samples import Sample

from schemas.dead_letter import REJECT_REASONS
from tests.doubles import TIMESTAMP_MS, WALL_S, make_rated, make_record
from worker.ops.instruments import BatchHistogram
from worker.ops.metrics import (
    CHECKPOINT_RESULTS,
    ERROR_KINDS,
    PHASES,
    REBALANCE_EVENTS,
    SINKS,
    WRITE_RESULTS,
    Metrics,
)
from worker.records import OUTCOME_NAMES, RELEASE_REASONS, Deleted

BOUNDS = (0.1, 0.5, 1.0, 5.0)


def samples(metrics: Metrics) -> Iterator[Sample]:
    for family in metrics.registry.collect():
        yield from family.samples


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@given(st.lists(st.lists(st.one_of(st.floats(-1, 10), st.sampled_from(BOUNDS)), max_size=30), max_size=4))
def test_metrics_batch_histogram_equals_one_by_one(batches: list[list[float]]) -> None:
    registry, expected = CollectorRegistry(), CollectorRegistry()
    histogram = BatchHistogram("x", "x", buckets=BOUNDS, registry=registry)
    one_by_one = Histogram("x", "x", buckets=BOUNDS, registry=expected)
    for batch in batches:
        histogram.observe_all(np.array(batch))
        for number in batch:
            one_by_one.observe(number)
    for family, other in zip(registry.collect(), expected.collect(), strict=True):
        for got, want in zip(family.samples, other.samples, strict=True):
            assert (got.name, got.labels) == (want.name, want.labels)
            assert got.value == pytest.approx(want.value)


def test_known_label_sets_start_at_zero(metrics: Metrics) -> None:
    known: dict[str, dict[str, tuple[str, ...]]] = {
        "starstream_reviews_settled_total": {"outcome": OUTCOME_NAMES},
        "starstream_reviews_rejected_total": {"reason": REJECT_REASONS},
        "starstream_batches_released_total": {"reason": RELEASE_REASONS},
        "starstream_redis_writes_total": {"result": WRITE_RESULTS},
        "starstream_checkpoints_total": {"result": CHECKPOINT_RESULTS},
        "starstream_rebalances_total": {"event": REBALANCE_EVENTS},
        "starstream_loop_seconds_total": {"phase": PHASES},
        "starstream_sink_seconds_count": {"sink": SINKS},
        "starstream_sink_errors_total": {"sink": SINKS, "kind": ERROR_KINDS},
        "starstream_trace_spans_total": {"result": ("sent", "lost")},
        "starstream_reviews_consumed_total": {},
        "starstream_review_latency_seconds_count": {},
    }
    for name, labels in known.items():
        for values in itertools.product(*labels.values()):
            found = metrics.registry.get_sample_value(name, dict(zip(labels, values, strict=True)))
            assert found == 0, f"{name} {values}"


def test_a_served_version_starts_its_label_sets_at_zero_and_retires_the_previous_one(metrics: Metrics) -> None:
    info = {"cell": "gru", "variant": "int8", "runtime": "litert"}
    metrics.serve_model([1, 2], "v1", info)
    metrics.serve_model([1, 2], "v2", info)
    assert value(metrics, "starstream_model_info", model_version="v1", **info) == 0
    assert value(metrics, "starstream_model_info", model_version="v2", **info) == 1
    for label in ("1", "2"):
        assert value(metrics, "starstream_ratings_total", rating=label, model_version="v2") == 0
    assert value(metrics, "starstream_rating_confidence_count", model_version="v2") == 0


def test_names_follow_prometheus(metrics: Metrics) -> None:
    for family in metrics.registry.collect():
        assert re.fullmatch(r"starstream_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|millis|kb|percent|count)$", family.name)
        if family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{family.name}_total"}
    assert b"_created" not in generate_latest(metrics.registry)


def test_labels_are_bounded(metrics: Metrics) -> None:
    """No review id, app or text can become a label."""
    names = {name for sample in samples(metrics) for name in sample.labels}
    assert names <= {"outcome", "reason", "field", "result", "event", "phase", "sink", "kind", "role", "le"}


@pytest.mark.parametrize(
    ("timestamp_ms", "seconds_later", "count", "total_s"),
    [(TIMESTAMP_MS, 0.2, 2, 0.4), (TIMESTAMP_MS, -60, 2, 0), (-1, 0.2, 0, 0)],
    ids=["in order", "the brokers' clock is fast", "without a timestamp"],
)
def test_latency_counts_from_a_records_timestamp_and_is_never_negative(
    timestamp_ms: int, seconds_later: float, count: int, total_s: float, metrics: Metrics
) -> None:
    record = make_record(timestamp=timestamp_ms)
    metrics.count_outcomes([make_rated(record=record), Deleted(record, "d")], WALL_S + seconds_later)
    assert value(metrics, "starstream_review_latency_seconds_count") == count
    assert value(metrics, "starstream_review_latency_seconds_sum") == pytest.approx(total_s)


def test_a_comparison_is_counted_by_label_also_when_labels_start_at_zero(metrics: Metrics) -> None:
    metrics.models.start_shadow("v", [0, 1])
    metrics.models.count_shadow("v", [0, 1], np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
    assert value(metrics, "starstream_shadow_agreed_total", model_version="v") == 2
    cell = {"model_version": "v", "stable_rating": "1", "shadow_rating": "0"}
    assert value(metrics, "starstream_shadow_reviews_total", **cell) == 1


def test_series_of_old_versions_are_removed(metrics: Metrics) -> None:
    for number in range(20):
        metrics.models.start_shadow(f"v{number}", [1, 2, 3, 4, 5])
    found = {sample.labels["model_version"] for sample in samples(metrics) if "model_version" in sample.labels}
    assert found == {f"v{number}" for number in range(14, 20)}
