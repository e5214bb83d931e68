"""`dlq list` and `dlq show`: dead letters for people, or as JSON lines for machines.

Owns the columns. Standard output carries the letters, standard error the summary. A letter's value is personal data, so
it is printed only on request, and what is printed is masked. Keys, headers and values come from strangers, so control
characters are escaped before they reach a terminal.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import closing
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.personal.mask import Masker
from worker.clock import SystemClock, iso_utc
from worker.dead_letters.letter import REASONS, Letter, Selection, header_text
from worker.dead_letters.reader import find_letter, letter_spans, read_letters
from worker.errors import ExitCode
from worker.kafka.python.topics import Topics
from worker.ops.text import printable
from worker.settings import WorkerSettings

_YEAR_10000_MS: Final = 253_402_300_800_000
_TABLE_LETTERS: Final = 100  # rows of a table without --limit; JSON has all
_COLUMNS: Final = ("letter", "time", "reason", "from", "key", "attempts", "model", "bytes", "message")


def list_letters(
    settings: WorkerSettings, selection: Selection, limit: int | None, masker: Masker, *, as_json: bool
) -> ExitCode:
    """Print the selected letters, at most `limit` (0: all), and how many there are by reason.

    Raises:
        WorkerError: there is no such topic, or the brokers do not answer.
    """
    most = limit if limit is not None else (0 if as_json else _TABLE_LETTERS)
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    counts: Counter[str] = Counter()
    shown = 0
    with closing(Topics(settings, SystemClock())) as topics:
        spans = letter_spans(topics, settings.dead_letter_topic, selection)
        for letter in read_letters(topics, spans, selection):
            counts[letter.reason] += 1
            if most and shown == most:
                continue
            shown += 1
            if as_json:
                print(json.dumps(letter_fields(letter, masker)))
            else:
                table.add_row(*(Text(cell) for cell in _cells(letter, masker)))
    if not as_json and shown:
        console_of().print(table)
    _print_summary(settings.dead_letter_topic, counts, shown)
    say_masked(masker)
    return ExitCode.OK


def show_letter(settings: WorkerSettings, partition: int, offset: int, masker: Masker, *, with_value: bool) -> ExitCode:
    """Print one letter's fields and headers, and its value on request.

    Raises:
        WorkerError: it is not there, or the brokers do not answer.
    """
    with closing(Topics(settings, SystemClock())) as topics:
        letter = find_letter(topics, settings.dead_letter_topic, partition, offset)
    fields = Table("field", "value", box=None, pad_edge=False)
    for field, cell in zip(_COLUMNS, _cells(letter, masker), strict=True):
        fields.add_row(field, Text(cell))
    headers = Table("header", "value", box=None, pad_edge=False)
    for name, raw in letter.record.headers:
        mask = masker.mask if name.endswith("message") else masker.mask_id  # most are numbers
        headers.add_row(Text(printable(name)), Text(printable(mask(header_text(name, raw or b"")))))
    console = console_of()
    console.print(fields)
    console.print()
    console.print(headers)
    if with_value:
        print("\nThe value is personal data: keep it out of tickets and chats.", file=sys.stderr)
        value = as_text(letter.record.value)
        print("(null)" if value is None else printable(masker.mask(value), keep="\n\t"))
    say_masked(masker)
    return ExitCode.OK


def as_text(raw: bytes | None) -> str | None:
    """Return a key or value as text; bytes that are not UTF-8 are escaped."""
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


def say_masked(masker: Masker) -> None:
    """Print what was masked, if anything was."""
    if found := masker.summary():
        print(f"masked: {found}; --keep-personal-data shows it", file=sys.stderr)


def letter_fields(letter: Letter, masker: Masker) -> dict[str, str | int | None]:
    """Return a letter as the fields of its JSON line."""
    record, key = letter.record, as_text(letter.record.key)
    return {
        "partition": record.partition,
        "offset": record.offset,
        "time": time_text(record.timestamp),
        "reason": letter.reason,
        "original_topic": letter.topic,
        "original_partition": letter.partition,
        "original_offset": letter.offset,
        "key": None if key is None else masker.mask_id(key),
        "attempts": letter.attempts,
        "model_version": letter.model_version,
        "value_bytes": None if record.value is None else len(record.value),
        "message": None if letter.message is None else masker.mask(letter.message),
    }


def reason_counts(counts: Counter[str]) -> str:
    """Return `reason count` pairs, in the order of `REASONS`."""
    return ", ".join(f"{reason} {counts[reason]}" for reason in REASONS if counts[reason])


def _cells(letter: Letter, masker: Masker) -> list[str]:
    fields = letter_fields(letter, masker)
    origin = f"{_or_dash(letter.topic)}-{_or_dash(letter.partition)}@{_or_dash(letter.offset)}"
    size = "null" if fields["value_bytes"] is None else str(fields["value_bytes"])
    return [
        letter.place,
        _or_dash(fields["time"]),
        letter.reason,
        printable(origin),
        printable(_or_dash(fields["key"])),
        str(letter.attempts),
        printable(_or_dash(letter.model_version)),
        f"{size} (cut)" if letter.truncated else size,
        printable(_or_dash(fields["message"])),
    ]


def _print_summary(topic: str, counts: Counter[str], shown: int) -> None:
    total = counts.total()
    if not total:
        print(f"{topic}: no letters match", file=sys.stderr)
        return
    more = "" if shown == total else f" ({shown} shown; --limit 0 shows all)"
    print(f"{topic}: {total} letter{'' if total == 1 else 's'}{more}: {reason_counts(counts)}", file=sys.stderr)


def console_of() -> Console:
    """Return the console for a table."""
    # A pipe has no width, and rich would cut the table at 80 columns.
    return Console() if sys.stdout.isatty() else Console(width=250)


def time_text(timestamp_ms: int) -> str | None:
    """Return a record's time in ISO 8601; None when it has none, or one that no calendar has."""
    # Some producers send microseconds; no calendar reaches the year 57,000.
    return iso_utc(timestamp_ms / 1000) if 0 <= timestamp_ms < _YEAR_10000_MS else None


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
