"""`dlq list` and `dlq show`: dead letters for people, or as JSON lines for machines.

Owns the columns. Standard output carries the letters, standard error the summary. A letter's value is printed only
when asked for: it is what somebody wrote. Keys, headers and values come from strangers, so control characters are
escaped before they reach a terminal.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import chain
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.clock import SystemClock, iso_utc
from worker.dead_letters.letter import REASONS, Letter, Wanted, header_text
from worker.dead_letters.reader import LetterReader
from worker.errors import ExitCode
from worker.settings import WorkerSettings

TABLE_LETTERS: Final = 100  # what a table shows when --limit does not say; JSON shows all
_COLUMNS: Final = ("letter", "time", "reason", "from", "key", "attempts", "model", "bytes")


def list_letters(settings: WorkerSettings, wanted: Wanted, limit: int | None, *, as_json: bool) -> ExitCode:
    """Print the letters asked for, at most `limit` (0: all), and how many there are by reason.

    Raises:
        WorkerError: no such topic, or the brokers do not answer.
    """
    most = limit if limit is not None else (0 if as_json else TABLE_LETTERS)
    table = Table(*_COLUMNS, box=None, pad_edge=False)
    counts: Counter[str] = Counter()
    shown = 0
    with LetterReader(settings, SystemClock()) as reader:
        for letter in reader.read(reader.spans(wanted), wanted):
            counts[letter.reason] += 1
            if most and shown == most:
                continue
            shown += 1
            if as_json:
                print(json.dumps(letter_fields(letter)))
            else:
                table.add_row(*(Text(cell) for cell in _cells(letter)))
    if not as_json and shown:
        _console().print(table)
    _print_summary(settings.dead_letter_topic, counts, shown)
    return ExitCode.OK


def show_letter(settings: WorkerSettings, partition: int, offset: int, *, with_value: bool) -> ExitCode:
    """Print one letter's fields and headers, and its value when asked for.

    Raises:
        WorkerError: it is not there, or the brokers do not answer.
    """
    with LetterReader(settings, SystemClock()) as reader:
        letter = reader.letter_at(partition, offset)
    fields = Table("field", "value", box=None, pad_edge=False)
    for field, cell in zip(_COLUMNS, _cells(letter), strict=True):
        fields.add_row(field, Text(cell))
    headers = Table("header", "value", box=None, pad_edge=False)
    for name, raw in letter.record.headers:
        headers.add_row(Text(printable(name)), Text(printable(header_text(name, raw or b""))))
    console = _console()
    console.print(fields)
    console.print()
    console.print(headers)
    if with_value:
        print("\nThis is what somebody wrote: personal data. Keep it out of tickets and chats.", file=sys.stderr)
        value = letter.record.value
        print("(null)" if value is None else printable(value.decode("utf-8", "backslashreplace"), keep="\n\t"))
    return ExitCode.OK


def letter_fields(letter: Letter) -> dict[str, str | int | None]:
    """Return a letter as the fields of its JSON line; bytes of a key that are not UTF-8 are escaped."""
    record = letter.record
    return {
        "partition": record.partition,
        "offset": record.offset,
        "time": _time(record.timestamp),
        "reason": letter.reason,
        "original_topic": letter.topic,
        "original_partition": letter.partition,
        "original_offset": letter.offset,
        "key": None if record.key is None else record.key.decode("utf-8", "backslashreplace"),
        "attempts": letter.attempts,
        "model_version": letter.model_version,
        "value_bytes": None if record.value is None else len(record.value),
    }


def printable(text: str, *, keep: str = "") -> str:
    """Return a text with all that could steer a terminal escaped, but for the characters in `keep`."""
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text
    )


def reason_counts(counts: Counter[str]) -> str:
    """Return `reason count` pairs, in the order of `REASONS`, then others by name."""
    known = [reason for reason in REASONS if counts[reason]]
    return ", ".join(f"{reason} {counts[reason]}" for reason in chain(known, sorted(set(counts) - set(known))))


def _cells(letter: Letter) -> list[str]:
    fields = letter_fields(letter)
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
    ]


def _print_summary(topic: str, counts: Counter[str], shown: int) -> None:
    total = counts.total()
    if not total:
        print(f"{topic}: no such letters", file=sys.stderr)
        return
    more = "" if shown == total else f" ({shown} shown; --limit 0 shows all)"
    print(f"{topic}: {total} letters{more}: {reason_counts(counts)}", file=sys.stderr)


def _console() -> Console:
    # A pipe has no width: a table cut at 80 columns would lose what grep looks for.
    return Console() if sys.stdout.isatty() else Console(width=250)


def _time(timestamp_ms: int) -> str | None:
    return iso_utc(timestamp_ms / 1000) if timestamp_ms >= 0 else None


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
