"""The health of the processes as metrics: how many are ready, and which part keeps the others from it.

Reads the health when it is scraped, not when the loop moves, so a loop that is stuck in a client's call shows. The
supervisor serves those of its children.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from worker.ops.http_server import HealthView

PARTS: Final = ("model", "kafka", "redis", "schema_registry", "breaker", "loop", "process")


class HealthCollector(Collector):
    """The metrics of a health, of one process or of a supervisor's.

    Args:
        health: its reasons are keyed by part, or by `slot/part`.
        processes: how many it speaks for.
    """

    def __init__(self, health: HealthView, processes: int = 1) -> None:
        self._health = health
        self._processes = processes

    def collect(self) -> Iterable[Metric]:
        """Return how many processes are ready, and how many are not by each part."""
        where = [key.rpartition("/") for key in self._health.reasons]
        ready = GaugeMetricFamily("starstream_ready", "Processes that are ready.")
        ready.add_metric([], self._processes - len({slot for slot, _, _ in where}))
        waiting = GaugeMetricFamily(
            "starstream_not_ready", "Processes that are not ready, by the part that is why.", labels=["part"]
        )
        counts = Counter(part for _, _, part in where)
        for part in {**dict.fromkeys(PARTS), **dict.fromkeys(counts)}:
            waiting.add_metric([part], counts[part])
        return ready, waiting
