"""Starts tracing where the settings ask for it; without, nothing of OpenTelemetry is loaded.

Owns what is said when the extra `otel` is not installed.
"""

from __future__ import annotations

import logging

from worker.clock import Clock
from worker.errors import SettingsError
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings
from worker.stream.ports import Traces


def start_traces(settings: WorkerSettings, service: str, *, metrics: Metrics, log: Log, clock: Clock) -> Traces | None:
    """Return what begins traces; None without `WORKER_OTLP_ENDPOINT`.

    Raises:
        SettingsError: the packages of the extra `otel` are not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    try:
        from worker.traces.exporter import CountedExporter
        from worker.traces.tracer import OpenTelemetryTraces
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"opentelemetry", "grpc", "google"}:
            raise
        raise SettingsError(
            f"WORKER_OTLP_ENDPOINT: the package {error.name} is not installed; install the extra `otel`"
        ) from error
    # Each failed try would be a line; `CountedExporter` logs when it begins and when it ends.
    logging.getLogger("opentelemetry").setLevel(logging.WARNING if settings.log_level == "debug" else logging.CRITICAL)
    exporter = CountedExporter(settings.otlp_endpoint, metrics=metrics, log=log)
    return OpenTelemetryTraces(settings, service, exporter, clock)
