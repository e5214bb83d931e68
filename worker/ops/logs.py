"""Structured logs on standard error: one JSON object a line, with a stable event name.

Owns the format. Events are per batch, never per review; none holds a review's text or a secret.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Literal, Protocol

from worker.clock import iso_utc


class Log(Protocol):
    """Where the core logs its events."""

    def __call__(self, level: int, event: str, /, **fields: str | float | bool | None) -> None:
        """Log an event with its fields."""


class StructuredLog:
    """Logs through the standard library, so that the lines of other libraries have the same format."""

    def __init__(self, name: str = "starstream") -> None:
        self._logger = logging.getLogger(name)

    def __call__(self, level: int, event: str, /, **fields: str | float | bool | None) -> None:
        """Log an event with its fields."""
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


def is_text(form: Literal["auto", "json", "text"]) -> bool:
    """Tell whether logs of this form are text: `auto` is on a terminal."""
    return form == "text" or (form == "auto" and sys.stderr.isatty())


def configure_logs(level: str, form: Literal["auto", "json", "text"]) -> StructuredLog:
    """Set up the process's logging: our events from `level` on, those of other libraries from `warning` on.

    kafka-python logs an unreachable broker many times a second, and the loop's own `outage` event reports it once, so
    kafka-python's lines appear at `debug` only.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TextFormatter() if is_text(form) else _JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("starstream").setLevel(level.upper())
    logging.getLogger("kafka").setLevel(logging.WARNING if level == "debug" else logging.CRITICAL)
    return StructuredLog()
