"""Which headers of a review's record go on to its rating or tombstone.

Owns the choice and its bounds: trace context and baggage always, others by `WORKER_PASS_HEADERS`, and never so many
bytes that the brokers would refuse the rating for its size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final

from schemas.dead_letter import OWN
from worker.records import Record

_TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate"})
_MOST_TRACE_BYTES: Final = 4096  # W3C Trace Context asks for at most 512
_BAGGAGE: Final = "baggage"
_MOST_BAGGAGE_BYTES: Final = 8192  # W3C Baggage asks for as many
_MOST_OTHER_BYTES: Final = 16_384
_OURS: Final = "content-type"


class PassedHeaders:
    """Chooses headers.

    Args:
        patterns: names, with * and ? for any characters and one; case counts, as it does in Kafka.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._wanted = re.compile("|".join(map(translate, patterns))).match if patterns else None

    def of(self, record: Record) -> list[tuple[str, bytes]]:
        """Return the headers to pass on, in their order; a kind that is over its bound is left out whole."""
        traces: list[tuple[str, bytes]] = []
        baggage: list[tuple[str, bytes]] = []
        others: list[tuple[str, bytes]] = []
        for name, value in record.headers:
            if name in _TRACE_HEADERS:
                traces.append((name, value or b""))
            elif name == _BAGGAGE:
                baggage.append((name, value or b""))
            elif self._wanted is not None and self._wanted(name) and not name.lower().startswith((_OURS, OWN)):
                others.append((name, value or b""))
        return [
            *_bounded(traces, _MOST_TRACE_BYTES),
            *_bounded(baggage, _MOST_BAGGAGE_BYTES),
            *_bounded(others, _MOST_OTHER_BYTES),
        ]


def _bounded(headers: list[tuple[str, bytes]], most_bytes: int) -> list[tuple[str, bytes]]:
    return headers if sum(len(name) + len(value) for name, value in headers) <= most_bytes else []
