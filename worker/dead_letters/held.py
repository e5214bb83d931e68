"""`dlq held`: the records that the group has not committed yet, and which of them could not be rated.

For an open breaker: what stopped the stream is still in the input topic, not in the dead-letter topic. Reads from the
group's committed offsets without joining it, parses as the worker does, and commits nothing. Never prints a value.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Final

from rich.table import Table
from rich.text import Text

from schemas.personal.mask import Masker
from worker.clock import SystemClock
from worker.dead_letters.show import as_text, console_of, say_masked, time_text
from worker.errors import ExitCode
from worker.kafka.offset_range import EARLIEST, LATEST, Span
from worker.kafka.python.topics import Topics
from worker.ops.text import printable
from worker.records import Record, Rejected
from worker.settings import WorkerSettings
from worker.wiring import make_parser

_TABLE_ROWS: Final = 100
_COLUMNS: Final = ("record", "time", "reason", "key", "bytes", "message")


def list_held(settings: WorkerSettings, limit: int, masker: Masker, *, as_json: bool) -> ExitCode:
    """Print the held records that would be rejected, and counts; look at `limit` of each partition (0: all).

    Raises:
        WorkerError: an input topic is missing, or the brokers do not answer.
    """
    parser = make_parser(settings)
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    counts: Counter[str] = Counter()
    seen = 0
    with closing(Topics(settings, SystemClock(), group_id=settings.group_id)) as topics:
        for record in _held(topics, settings, limit):
            seen += 1
            outcome = parser.parse(record, "")
            if not isinstance(outcome, Rejected):
                continue
            counts[outcome.letter.reason] += 1
            if as_json:
                print(json.dumps(_fields(outcome, masker)))
            elif counts.total() <= _TABLE_ROWS:
                table.add_row(
                    *(Text(printable("-" if cell is None else str(cell))) for cell in _fields(outcome, masker).values())
                )
    if table.row_count:
        console_of().print(table)
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    print(
        f"group {settings.group_id}: looked at {seen} records that it has not committed; "
        f"{counts.total()} cannot be rated{f': {reasons}' if reasons else ''}",
        file=sys.stderr,
    )
    say_masked(masker)
    return ExitCode.OK


def _held(topics: Topics, settings: WorkerSettings, limit: int) -> Iterator[Record]:
    partitions = topics.require(settings.input_topics, "WORKER_INPUT_TOPICS")
    begin = EARLIEST if settings.auto_offset_reset == "earliest" else LATEST
    spans, committed = topics.spans(partitions, EARLIEST, LATEST), topics.committed(partitions)
    fresh = topics.spans(partitions, begin, LATEST)
    for partition, log in spans.items():
        start = max(log.start, committed.get(partition, fresh[partition].start))
        yield from islice(topics.read(partition, Span(start, log.end)), limit or None)


def _fields(outcome: Rejected, masker: Masker) -> dict[str, str | int | None]:
    record, letter = outcome.record, outcome.letter
    key = as_text(record.key)
    return {
        "record": f"{record.topic}-{record.partition}@{record.offset}",
        "time": time_text(record.timestamp),
        "reason": letter.reason,
        "key": None if key is None else masker.mask_id(key),
        "value_bytes": None if record.value is None else len(record.value),
        "message": masker.mask(letter.message),
    }
