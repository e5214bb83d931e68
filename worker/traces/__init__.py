"""Traces of batches and requests, for an OpenTelemetry collector.

OpenTelemetry itself is imported in `tracer` and `exporter` only; `start` loads them with `WORKER_OTLP_ENDPOINT`.
"""
