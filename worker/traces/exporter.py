"""Sends spans to a collector over OTLP/gRPC, and says when that fails.

Owns the count of spans sent and lost. Sending runs on a thread of the OpenTelemetry SDK, with a bounded queue: a
collector that is away costs spans, never a review.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from typing_extensions import override

from worker.ops.logs import Log
from worker.ops.metrics import Metrics


class CountedExporter(SpanExporter):
    """OpenTelemetry's exporter, with a metric, and a line in the log when the collector goes away and when it is back.

    Args:
        endpoint: `http://host:port`, or `https` for TLS. Headers and certificates are OpenTelemetry's own variables
            (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_CERTIFICATE`).
    """

    def __init__(self, endpoint: str, *, metrics: Metrics, log: Log) -> None:
        self._exporter = OTLPSpanExporter(endpoint)
        self._endpoint = endpoint
        self._spans = metrics.trace_spans
        self._log = log
        self._away = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; blocks until the collector has them, or for at most OTEL_EXPORTER_OTLP_TIMEOUT (10 s)."""
        result = self._exporter.export(spans)
        lost = result is not SpanExportResult.SUCCESS
        self._spans.labels("lost" if lost else "sent").inc(len(spans))
        if lost != self._away:
            self._away = lost
            level, event = (logging.WARNING, "spans_lost") if lost else (logging.INFO, "spans_sent_again")
            self._log(level, event, endpoint=self._endpoint)
        return result

    @override
    def shutdown(self) -> None:
        """Close the connection, and cancel an export that waits for its next try."""
        self._exporter.shutdown()
