"""What a person at a terminal sees of a worker: that it is ready, how fast it rates, and what it did.

Owns those three lines. Only for logs as text; programs read `/metrics`.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from worker.wiring import Process

_EVERY_S: Final = 10.0
_LOOK_S: Final = 0.5


class TerminalReport:
    """Logs `ready` once, `throughput` every ten seconds in which records came, and `summary` when it is stopped.

    Args:
        process: what is reported on.
        page: where its metrics are.
    """

    def __init__(self, process: Process, page: str) -> None:
        self._process = process
        self._page = page
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminal-report", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Log the summary."""
        self._stopped.set()
        self._thread.join()
        rated, rejected, deleted = (self._settled(outcome) for outcome in ("rated", "rejected", "deleted"))
        self._process.log(logging.INFO, "summary", rated=rated, dead_letters=rejected, deleted=deleted)

    def _run(self) -> None:
        clock, log = self._process.clock, self._process.log
        counted, at = 0, clock.monotonic()
        while self._process.health.reasons:
            if self._stopped.wait(_LOOK_S):
                return
        partitions = f"{self._sample('starstream_partitions_assigned'):.0f}"
        topics = ",".join(self._process.settings.input_topics)
        log(logging.INFO, "ready", partitions=partitions, topics=topics, model=self._model(), page=self._page)
        while not self._stopped.wait(_EVERY_S):
            total, now = self._settled(), clock.monotonic()
            if total > counted:
                lag = f"{self._sample('starstream_consumer_lag_records'):.0f}"
                log(logging.INFO, "throughput", reviews_a_second=round((total - counted) / (now - at), 1), waiting=lag)
            counted, at = total, now

    def _settled(self, outcome: str | None = None) -> int:
        return round(self._sample("starstream_reviews_settled_total", outcome=outcome))

    def _sample(self, name: str, **labels: str | None) -> float:
        """Return the sum of a metric over the labels that are not given."""
        wanted = {label: value for label, value in labels.items() if value is not None}
        return sum(
            sample.value
            for family in self._process.metrics.registry.collect()
            for sample in family.samples
            if sample.name == name and wanted.items() <= sample.labels.items()
        )

    def _model(self) -> str:
        versions = (
            sample.labels["model_version"]
            for family in self._process.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "starstream_model_info" and sample.value == 1
        )
        return next(versions, "none")
