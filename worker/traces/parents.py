"""The trace that a review's producer began, as its record says (W3C Trace Context, header `traceparent`).

Owns the reading of that header. `tracer` links a batch to these traces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from worker.records import Record

HEADER: Final = "traceparent"
# Version 00, and what a later version must still begin with; a trace or span of zeros is none.
_FORM: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.DOTALL
)
_FLAGS_AT: Final = 54  # the second hexadecimal digit of the flags; the last bit says sampled
_SAMPLED: Final = frozenset(b"13579bdf")


class Parent(NamedTuple):
    """A span of another program."""

    trace_id: int
    span_id: int
    sampled: bool  # whether its program keeps it


def parent_of(value: bytes | None) -> Parent | None:
    """Return what a header names; None when it is no trace context."""
    found = _FORM.fullmatch(value) if value else None
    return Parent(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1)) if found else None


def parents(records: Iterable[Record], *, sampled_only: bool) -> Iterator[Parent]:
    """Yield the parents of records; of a record with several, the first."""
    for record in records:
        for name, value in record.headers:
            if name == HEADER and value:
                if not sampled_only or (len(value) > _FLAGS_AT and value[_FLAGS_AT] in _SAMPLED):
                    found = parent_of(value)
                    if found is not None:
                        yield found
                break
