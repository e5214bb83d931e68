"""Structured logs: one JSON object a line on standard error, a stable event name, never a review's text or a secret.

Owns the form. Per batch and per event, never per review.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal, Protocol

from worker.clock import iso_utc


class Log(Protocol):
    """What the core asks of a log."""

    def __call__(self, level: int, event: str, /, **fields: str | float | bool | None) -> None:
        """Write one event with its fields."""
        ...


class StructuredLog:
    """Writes events through the standard library's logging, so that the Kafka client's own lines take the same form."""

    def __init__(self, name: str = "starstream") -> None:
        self._logger = logging.getLogger(name)

    def __call__(self, level: int, event: str, /, **fields: str | float | bool | None) -> None:
        """Write one event with its fields."""
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"fields": fields})


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "ts": iso_utc(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        stamp = iso_utc(record.created)[11:23]
        line = f"{stamp} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logs(level: str, form: Literal["json", "text"]) -> StructuredLog:
    """Set up the process's logging; our events at `level`, other libraries' from warning on.

    A client that cannot reach its broker repeats itself many times a second; the loop's own `outage` event says it
    once, with what to do, so the Kafka client's lines are kept for `debug`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("starstream").setLevel(level.upper())
    logging.getLogger("kafka").setLevel(logging.WARNING if level == "debug" else logging.CRITICAL)
    return StructuredLog()
