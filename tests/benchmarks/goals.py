"""What the worker is meant to reach, each as one figure of the table or a ratio of two. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.arithmetic import Figures


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a row, over or less another row's where one is named, and its limit."""

    what: str  # in words
    limit: float  # what it is held against
    row: str  # whose figure
    figure: str = "reviews_per_s"  # which
    over: str | None = None  # the row whose figure it is divided by
    less: str | None = None  # the row whose figure is taken away
    at_most: bool = False  # less is better

    def found(self, rows: Mapping[str, Figures]) -> float | None:
        """Return the figure; None when a row it needs was not measured."""
        mine = rows.get(self.row, {}).get(self.figure)
        other = rows.get(self.over or self.less or self.row, {}).get(self.figure)
        if mine is None or other is None:
            return None
        if self.over is not None:
            return mine / other if other else None
        return mine - other if self.less is not None else mine


_BARE: Final = "bare_exactly_once"
_BARE_CONFLUENT: Final = "bare_confluent_exactly_once"


def _with_kafka_python(row: str, name: str) -> list[Goal]:
    return [
        *_times(row, name, (20, 600, 6)),
        Goal(f"{name}: share of what its bare client does", 0.75, row, over=_BARE),
        Goal(f"{name}: CPU us a review", 40, row, "cpu_us_per_review", at_most=True),
        *_with_any_client(row, name, _BARE),
    ]


def _with_confluent(row: str, name: str) -> list[Goal]:
    return [
        *_times(row, name, (45, 1300, 9)),
        Goal(f"{name}: share of what its bare client does", 0.45, row, over=_BARE_CONFLUENT),
        Goal(f"{name}: CPU us a review", 28, row, "cpu_us_per_review", at_most=True),
        *_with_any_client(row, name, _BARE_CONFLUENT),
    ]


def _times(row: str, name: str, times: tuple[float, float, float]) -> list[Goal]:
    tflite, keras, quix = times
    return [
        Goal(f"{name}: times the per-review TFLite worker", tflite, row, over="naive_tflite"),
        Goal(f"{name}: times the per-review Keras worker", keras, row, over="naive_keras"),
        Goal(f"{name}: times Quix Streams, exactly-once", quix, row, over="quix_exactly_once"),
    ]


def _with_any_client(row: str, name: str, bare: str) -> list[Goal]:
    return [
        Goal(f"{name}: memory of a process, MB", 105, row, "rss_mb", at_most=True),
        Goal(f"{name}: seconds to ready", 1, row, "ready_s", at_most=True),
        Goal(f"{name}: p99 at a tenth of the load, ms (topic)", 35, row, "load10_topic_p99_ms", at_most=True),
        Goal(f"{name}: p99 at half load, ms (topic)", 80, row, "load50_topic_p99_ms", at_most=True),
        Goal(f"{name}: p99 at 80% of the load, ms (topic)", 250, row, "load80_topic_p99_ms", at_most=True),
        Goal(f"{name}: p99 at 2,000 reviews/s, ms (topic)", 40, row, "rate2000_topic_p99_ms", at_most=True),
        Goal(
            f"{name}: p50 of a single review over the bare client's, ms", 2, row, "idle_topic_p50_ms", less=bare,
            at_most=True,
        ),
    ]  # fmt: skip


GOALS: Final = (
    *_with_kafka_python("worker", "kafka-python"),
    *_with_confluent("worker_confluent", "confluent-kafka"),
    *_with_kafka_python("worker_fast", "kafka-python, fast bundle"),
    *_with_confluent("worker_confluent_fast", "confluent-kafka, fast bundle"),
    Goal("kafka-python: 2 processes over 1", 1.8, "worker_2_processes", over="worker"),
    Goal("confluent-kafka: 2 processes over 1", 1.8, "worker_confluent_2_processes", over="worker_confluent"),
    Goal("kafka-python: reviews/s at a backlog of 1,000,000 over 10,000", 0.9, "worker_1m", over="worker_10k"),
    Goal("kafka-python: memory at the end of 1,000,000 reviews, MB", 150, "worker_1m", "rss_mb", at_most=True),
)
