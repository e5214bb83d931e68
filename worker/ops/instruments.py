"""Instruments of prometheus-client under our prefix, and a histogram that observes a batch of values at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.samples import Exemplar


class BatchHistogram(Histogram):
    """A histogram with one update for each bucket instead of one for each review.

    Uses `_buckets` and `_sum`, which are private in prometheus-client;
    `test_metrics_batch_histogram_equals_one_by_one` fails if they change.
    """

    def observe_all(self, values: npt.NDArray[np.floating[Any]]) -> None:
        """Observe every value of an array of any shape."""
        where = np.searchsorted(self._upper_bounds, values.ravel(), side="left")
        for bucket, count in enumerate(np.bincount(where, minlength=len(self._upper_bounds))):
            if count:
                self._buckets[bucket].inc(int(count))
        self._sum.inc(float(values.sum()))

    def mark(self, values: npt.NDArray[np.floating[Any]], exemplar: Mapping[str, str], wall_s: float) -> None:
        """Name a trace in each bucket that has one of these values: OpenMetrics' exemplars, with the largest value.

        prometheus-client's multi-process mode keeps none.
        """
        ordered = np.sort(values.ravel())
        buckets = np.searchsorted(self._upper_bounds, ordered, side="left")
        largest = dict(zip(buckets.tolist(), ordered.tolist(), strict=True))
        for bucket, value in largest.items():
            self._buckets[bucket].set_exemplar(Exemplar(dict(exemplar), value, wall_s))


class Instruments:
    """Makes instruments `starstream_<name>` with a help text and labels, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str, values: Iterable[str] = ()) -> Counter:
        """Return a counter; those of its one label's known values start at 0."""
        counter = Counter(f"starstream_{name}", text, labels, registry=self._registry)
        for value in values:
            counter.labels(value)
        return counter

    def gauge(self, name: str, text: str, mode: Literal["livemax", "livemin", "livesum"], *labels: str) -> Gauge:
        """Return a gauge; `mode` says how the supervisor adds up those of several processes."""
        return Gauge(f"starstream_{name}", text, labels, multiprocess_mode=mode, registry=self._registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> BatchHistogram:
        """Return a histogram with these upper bounds."""
        return BatchHistogram(f"starstream_{name}", text, labels, buckets=buckets, registry=self._registry)
