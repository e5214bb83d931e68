"""The metrics of the stream; other `*_metrics` modules have those of models, health, apps and REST.

Owns names, help texts, buckets and label sets, which start at 0 where they are known. Never reads a clock. Durations
are in seconds, sizes in bytes or records, counters end in `_total`: Prometheus's conventions.

With `--processes` several workers share one `/metrics`: prometheus-client's multi-process mode keeps the values in
files, and the supervisor serves their sum, so each gauge here names the mode in which it is added up.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics

from schemas.dead_letter import REJECT_REASONS
from schemas.rating import LABELS
from schemas.review import OPTIONAL_FIELDS
from worker.ops.app_metrics import AppMetrics
from worker.ops.instruments import Instruments
from worker.ops.model_metrics import ModelMetrics
from worker.records import NAME_OF_OUTCOME, OUTCOME_NAMES, RELEASE_REASONS, Batch, Outcome, Rated, Rejected

SINKS: Final = ("redis", "topic")
PHASES: Final = ("wait", "poll", "parse", "classify", "store", "topic")
ERROR_KINDS: Final = ("transient", "permanent", "fatal")
WRITE_RESULTS: Final = ("written", "replayed", "stale", "deleted", "refused")
REBALANCE_EVENTS: Final = ("assigned", "revoked", "lost")
CHECKPOINT_RESULTS: Final = ("committed", "failed")

# Up to a minute for a stream that keeps up, and to six hours for a backlog: a percentile is never past the last bound.
_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BACKLOG_S = (120, 300, 600, 1200, 1800, 3600, 7200, 21_600)
_WORK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_FILLS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.99)
_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series for every counter would double the page, and no query of ours needs it


class Metrics:
    """The worker's instruments, registered once in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        made = Instruments(registry)
        counter, gauge, histogram = made.counter, made.gauge, made.histogram
        self.consumed = counter("reviews_consumed_total", "Records read from the input topics.")
        self.settled = counter("reviews_settled_total", "Committed records.", "outcome", values=OUTCOME_NAMES)
        self.rejected = counter("reviews_rejected_total", "Dead letters.", "reason", values=REJECT_REASONS)
        self.ignored_fields = counter(
            "ignored_fields_total",
            "Optional fields that could not be used.",
            "field",
            values=OPTIONAL_FIELDS,
        )
        self.ratings = counter(
            "ratings_total", "Ratings, by stars (`labels` of a label model) and version.", "rating", "model_version"
        )
        self.labels = counter(
            "labels_total", "Labels given by a label model; a review may have several.", "label", "model_version"
        )
        self.confidence = histogram(
            "rating_confidence", "Calibrated probability of the label given.", _SHARES, "model_version"
        )
        self.batch_reviews = histogram("batch_reviews", "Records in a released batch.", _SIZES)
        self.batch_fill = histogram("batch_fill_ratio", "Share of a batch's tightest limit that was used.", _FILLS)
        self.batch_wait = histogram("batch_wait_seconds", "Wait of a batch's first record for its release.", _WORK_S)
        self.released = counter("batches_released_total", "Released batches.", "reason", values=RELEASE_REASONS)
        self.cost_fixed = gauge(
            "batch_cost_fixed_seconds", "Learned cost of a batch: seconds that do not grow with its size.", "livemax"
        )
        self.cost_token = gauge(
            "batch_cost_token_seconds", "Learned cost of a batch: seconds for each token.", "livemax"
        )
        self.tokens = counter("inference_tokens_total", "Tokens the model read.")
        self.unknown_tokens = counter("inference_unknown_tokens_total", "Tokens that are not in the vocabulary.")
        self.cells = counter("inference_cells_total", "Tokens the model read, padding included: rows x steps.")
        self.inference = histogram("inference_seconds", "Encoding and inference of a chunk of a batch.", _WORK_S)
        self.sink_seconds = histogram(
            "sink_seconds", "Time that the loop waits for a sink to have a batch.", _WORK_S, "sink"
        )
        self.sink_errors = counter("sink_errors_total", "Failed writes to a sink.", "sink", "kind")
        self.redis_writes = counter("redis_writes_total", "Writes to Redis.", "result", values=WRITE_RESULTS)
        self.latency = histogram(
            "review_latency_seconds", "From a record's timestamp to the commit of its outcome.", _LATENCY_S + _BACKLOG_S
        )
        self.checkpoints = counter("checkpoints_total", "Offset commits.", "result", values=CHECKPOINT_RESULTS)
        self.lag = gauge(
            "consumer_lag_records",
            "Offsets between the group's commit and the end of a partition; transaction markers count.",
            "livemax",
            "topic",
            "partition",
        )
        self.behind = gauge(
            "consumer_behind_seconds",
            "How long the first record of a partition that is not committed has waited; 0 when there is none.",
            "livemax",
            "topic",
            "partition",
        )
        self.lost = counter(
            "records_lost_total", "Offsets that retention removed before the group read them.", "topic", "partition"
        )
        self.partitions_assigned = gauge("partitions_assigned", "Partitions that the worker reads.", "livesum")
        self.partitions_paused = gauge(
            "partitions_paused", "Partitions paused while a service is unavailable.", "livesum"
        )
        self.partitions_stalled = gauge(
            "partitions_stalled", "Partitions with records to read whose position does not move.", "livesum"
        )
        self.breaker_open = gauge("breaker_open", "1 while the open dead-letter breaker halts the stream.", "livemax")
        self.rebalances = counter(
            "rebalances_total", "Changes of the assigned partitions.", "event", values=REBALANCE_EVENTS
        )
        self.model_info = gauge(
            "model_info", "1 for the version that serves.", "livemax", "model_version", "cell", "variant", "runtime"
        )
        self.phase_seconds = counter("loop_seconds_total", "Seconds of the loop.", "phase", values=PHASES)
        self.trace_spans = counter(
            "trace_spans_total", "Spans of sampled batches and requests, by whether the collector has them.", "result",
            values=("sent", "lost"),
        )  # fmt: skip
        self.models = ModelMetrics(registry, by_version=(self.ratings, self.labels, self.confidence, self.model_info))
        self.apps = AppMetrics(registry)
        self._served: Gauge | None = None
        for sink in SINKS:
            self.sink_seconds.labels(sink)
            for kind in ERROR_KINDS:
                self.sink_errors.labels(sink, kind)

    def serve_model(self, labels: Sequence[int] | Sequence[str], version: str, info: Mapping[str, str]) -> None:
        """Show the version that serves and no longer the previous one; start its label sets at 0."""
        if self._served is not None:
            self._served.set(0)  # multi-process mode cannot remove a series, so 0 says that it no longer serves
        self.models.start_serving(version, labels)
        self.apps.start(labels)
        self._served = self.model_info.labels(model_version=version, **info)
        self._served.set(1)
        for label in labels:
            if isinstance(label, str):
                self.labels.labels(label, version)
                label = LABELS  # noqa: PLW2901 - what its ratings count as
            self.ratings.labels(str(label), version)
        self.confidence.labels(version)

    def count_batch(self, batch: Batch) -> None:
        """Count a batch as it is released."""
        self.batch_reviews.observe(len(batch.records))
        self.batch_fill.observe(batch.fill)
        self.batch_wait.observe(batch.oldest_s)
        self.released.labels(batch.reason).inc()

    def set_batch_cost(self, fixed_s: float, each_token_s: float) -> None:
        """Set the learned cost of a batch."""
        self.cost_fixed.set(fixed_s)
        self.cost_token.set(each_token_s)

    def count_outcomes(
        self, outcomes: Sequence[Outcome], now_wall_s: float, exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Count the outcomes of a committed batch; their latency ends at `now_wall_s`; `exemplar` names its trace."""
        for kind, count in Counts(map(type, outcomes)).items():
            self.settled.labels(NAME_OF_OUTCOME[kind]).inc(count)
        reasons = Counts(outcome.letter.reason for outcome in outcomes if isinstance(outcome, Rejected))
        for reason, count in reasons.items():
            self.rejected.labels(reason).inc(count)
        rated = [outcome for outcome in outcomes if isinstance(outcome, Rated)]
        said = [review.fields for review in rated]
        ratings = Counts(
            (rating.model_version, rating.rating, review.score) for rating, review in zip(said, rated, strict=True)
        )
        for (version, rating, score), count in ratings.items():
            self.ratings.labels(LABELS if rating is None else str(rating), version).inc(count)
            if score is not None and rating is not None:
                self.models.count_feedback(version, rating, score, count)
        given = Counts((rating.model_version, name) for rating in said for name in rating.labels or ())
        for (version, name), count in given.items():
            self.labels.labels(name, version).inc(count)
        mismatches = Counts(rating.model_version for rating in said if rating.mismatch)
        for version, count in mismatches.items():
            self.models.mismatches.labels(version).inc(count)
        self.apps.count(rated)
        for version in {version for version, _, _ in ratings}:
            shares = [rating.confidence for rating in said if rating.model_version == version]
            self.confidence.labels(version).observe_all(np.array(shares))
        stamps = np.array([outcome.record.timestamp for outcome in outcomes])
        stamps = stamps[stamps >= 0]
        if stamps.size:
            # The clocks of broker and worker may differ, and a latency is never negative.
            latencies = np.maximum(now_wall_s - stamps / 1000.0, 0.0)
            self.latency.observe_all(latencies)
            if exemplar is not None:
                self.latency.mark(latencies, exemplar, now_wall_s)
