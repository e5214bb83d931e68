"""The metrics of `serve`: its requests beside the worker's own metrics, all marked `source="rest"`.

Owns the names of the former, and the mark. `worker.ops.metrics` owns the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from worker.ops.instruments import Instruments

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class RestMetrics:
    """The instruments, registered once in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Instruments(registry)
        self.requests = made.counter(
            "rest_requests_total", "Requests answered, by route and status.", "method", "route", "status"
        )
        self.seconds = made.histogram(
            "rest_request_seconds", "Time from a request's head to the end of its answer.", _REQUEST_S, "route"
        )
        self.waiting = made.gauge("rest_waiting_reviews", "Reviews of requests that are not rated yet.", "livesum")
        self._count = cache(self.requests.labels)  # a child is looked up once; its labels are few
        self._time = cache(self.seconds.labels)

    def count(self, method: str, route: str, status: str) -> None:
        """Count a request that was answered."""
        self._count(method, route, status).inc()

    def time(self, route: str, seconds: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Note how long a request took; `exemplar` names its trace."""
        self._time(route).observe(seconds, dict(exemplar) if exemplar else None)


class Marked(Collector):
    """The metrics of a registry with labels added to every sample."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self._registry = registry
        self._labels = dict(labels)

    def collect(self) -> Iterable[Metric]:
        """Yield them."""
        for metric in self._registry.collect():
            metric.samples = [sample._replace(labels={**sample.labels, **self._labels}) for sample in metric.samples]
            yield metric
