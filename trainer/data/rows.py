"""Labelled reviews from files, one row at a time.

Owns the file formats (CSV, TSV, JSON Lines, each also .gz), how columns are found, and what makes a row bad. Streams:
never holds more than one row. `dataset` is next: it collects the rows and splits them.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.review import DEFAULT_MAX_TEXT_CHARS
from trainer.errors import DataError

TEXT_COLUMNS = ("content", "text", "review")
SCORE_COLUMNS = ("score", "rating", "stars", "label")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class RowRules:
    """What a row must look like.

    Attributes:
        text_column: name of the column; None: the first of the usual names that the file has.
        score_column: the same for the score.
        labels: the scores allowed; empty: any whole number.
        labelled: False: there is no score column, and every label is 0.
    """

    text_column: str | None = None
    score_column: str | None = None
    labels: frozenset[int] = frozenset()
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A review with the author's label."""

    text: str
    label: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used. `where` is `file: row N (line L)`, rows counted from 1 behind the header."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def read_rows(path: Path, rules: RowRules = RowRules()) -> Iterator[Row | BadRow]:
    """Yield each row of a file in order, good or bad; blank lines are no rows.

    Memory: one row.

    Raises:
        DataError: the file cannot be read, is no CSV or JSONL, or lacks a column; the message says which exist.
    """
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    try:
        if plain.suffix in {".jsonl", ".ndjson"}:
            yield from _read_jsonl(path, rules)
        elif plain.suffix in {".csv", ".tsv"}:
            yield from _read_csv(path, rules, "\t" if plain.suffix == ".tsv" else ",")
        else:
            raise DataError(f"{path}: unknown format {plain.suffix!r}; use .csv, .tsv or .jsonl, each also as .gz")
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: not a gzip file ({error}); rename it or compress it") from error
    except EOFError as error:
        raise DataError(f"{path}: the gzip file ends too early; copy it again") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def require_files(paths: Iterable[Path]) -> None:
    """Refuse paths that are no files, before anything slow begins.

    Raises:
        DataError: naming the first.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: {'not a file' if path.exists() else 'No such file'}")


def _lines(path: Path) -> Iterator[str]:
    """Yield lines; bytes that are not UTF-8 become lone surrogates, so the row that holds them can be named."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file):
            if number == 0:
                if line.startswith(_UTF16_MARKS):
                    raise DataError(f"{path}: UTF-16; convert it: iconv -f utf-16 -t utf-8")
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - the mark belongs to the file, not the line
            yield line.decode("utf-8", "surrogateescape")


def _read_csv(path: Path, rules: RowRules, delimiter: str) -> Iterator[Row | BadRow]:
    reader = csv.reader(_lines(path), delimiter=delimiter)
    number = 0
    try:
        header = next((cells for cells in reader if cells), None)
        if header is None:
            raise DataError(f"{path}: empty; expected a header row and reviews below it")
        text_at, score_at = (header.index(name) for name in _find(path, header, rules))
        for cells in reader:
            if not cells:
                continue
            number += 1
            where = f"{path.name}: row {number} (line {reader.line_num})"
            if len(cells) <= max(text_at, score_at):
                yield BadRow(where, f"has {len(cells)} columns, the header has {len(header)}")
            else:
                yield _row(where, cells[text_at], cells[score_at], rules)
    except csv.Error as error:
        raise DataError(f"{path}: row {number + 1}: {error}; is a quotation mark left open?") from error


def _read_jsonl(path: Path, rules: RowRules) -> Iterator[Row | BadRow]:
    names: tuple[str, str] | None = None
    number = 0
    for line_number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        number += 1
        where = f"{path.name}: row {number} (line {line_number})"
        try:
            found = json.loads(line)
        except ValueError as error:
            yield BadRow(where, f"not JSON: {error}")
            continue
        if not isinstance(found, dict):
            yield BadRow(where, f"a JSON {type(found).__name__}, expected an object")
            continue
        names = names or _find(path, list(found), rules)
        missing = next((name for name in names if name not in found), None)
        if missing is not None:
            yield BadRow(where, f"no {missing!r}")
        else:
            yield _row(where, found[names[0]], found[names[1]], rules)
    if number == 0:
        raise DataError(f"{path}: empty; expected one JSON object a line")


def _find(path: Path, header: Sequence[str], rules: RowRules) -> tuple[str, str]:
    text = _find_one(path, header, rules.text_column, TEXT_COLUMNS, "--text-column")
    if not rules.labelled:
        return text, text
    return text, _find_one(path, header, rules.score_column, SCORE_COLUMNS, "--score-column")


def _find_one(path: Path, header: Sequence[str], wanted: str | None, usual: Sequence[str], flag: str) -> str:
    exist = ", ".join(header)
    if wanted is not None:
        if wanted in header:
            return wanted
        raise DataError(f"{path}: no column {wanted!r} ({flag}); there are: {exist}")
    folded = {name.strip().casefold(): name for name in reversed(header)}
    found = next((folded[name] for name in usual if name in folded), None)
    if found is None:
        raise DataError(f"{path}: none of the columns {', '.join(usual)}; there are: {exist}; name one with {flag}")
    return found


def _row(where: str, text: Any, score: Any, rules: RowRules) -> Row | BadRow:
    if not isinstance(text, str):
        return BadRow(where, f"text is {type(text).__name__}, expected a string")
    wrong = _text_fault(text)
    if wrong is not None:
        return BadRow(where, wrong)
    if not rules.labelled:
        return Row(text, 0)
    label, labels = _label(score), rules.labels
    if label is None:
        return BadRow(where, f"score {score!r} is not a whole number")
    if labels and label not in labels:
        return BadRow(where, f"score {label} is none of the labels {', '.join(map(str, sorted(labels)))}")
    return Row(text, label)


def _text_fault(text: str) -> str | None:
    """Say why a text is unusable: the worker's own rules for its input, and UTF-8."""
    if not text.strip():
        return "the text is empty"
    if "\0" in text:
        return "the text contains a null byte"
    if len(text) > DEFAULT_MAX_TEXT_CHARS:
        return f"the text has {len(text)} characters, the worker takes {DEFAULT_MAX_TEXT_CHARS}"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            return f"not UTF-8 at character {error.start}; if the file is Latin-1: iconv -f latin1 -t utf-8"
    return None


def _label(score: Any) -> int | None:
    if isinstance(score, bool):
        return None
    try:
        number = float(score)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
