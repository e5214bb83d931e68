"""Reviews in files: CSV, TSV and JSON Lines, each also as .gz, one row at a time.

Owns the formats. Memory: one row. `fields` finds the columns, and `review` decides what is a review; what a label is,
`trainer.data.rows` does.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final

from schemas.input.fields import FieldFinder, FieldName
from schemas.input.value import InvalidReviewError
from schemas.review import DEFAULT_MAX_TEXT_CHARS, Review, review_from

STDIN: Final = "-"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class FileError(ValueError):
    """A file that cannot be read (the message begins with its path), or a column that it does not have."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row, or what is wrong with it."""

    number: int  # from 1; the header and blank lines are not counted
    line: int  # where it ends, from 1
    columns: Sequence[str]  # the header, or the names in a JSON object
    cells: Mapping[str, Any]  # by column; a short row of a CSV lacks the last ones
    fault: str = ""  # why there are no cells, else empty
    misquoted: bool = False  # the fault is in the quoting of a CSV, so the rows after it may be wrong too

    @property
    def where(self) -> str:
        """The row's place in the file, for messages."""
        return f"row {self.number} (line {self.line})"

    def review(self, finder: FieldFinder, max_text_chars: int = DEFAULT_MAX_TEXT_CHARS) -> Review:
        """Return the review that the cells hold.

        Raises:
            InvalidReviewError: the row has a fault, or there is no text that can be rated.
        """
        if self.fault:
            raise InvalidReviewError("wrong_type", self.fault)
        review = review_from(self.cells, finder, max_text_chars, setting="--text-field")
        try:
            review.text.encode("utf-8")
        except UnicodeEncodeError as error:
            remedy = "if the file is Latin-1: iconv -f latin1 -t utf-8"
            raise InvalidReviewError(
                "not_utf8", f"text: not UTF-8 at character {error.start}; {remedy}"
            ) from None  # the cause quotes the text
        return review


def read_rows(path: str | Path, *, plain_texts: bool = False, max_cell_chars: int = 131_072) -> Iterator[FileRow]:
    """Yield the rows of a file in order. Blank lines are not rows.

    Args:
        path: the ending names the format; `-` is standard input.
        plain_texts: read any other ending and standard input too, as lines: JSON objects, or texts in a column `text`.
        max_cell_chars: a longer cell of a CSV is a fault.

    Raises:
        FileError: the file cannot be read, or is empty or not of its format.
    """
    suffix, delimiter = _suffix(path), delimiter_of(path)
    try:
        with _opened(str(path)) as file:
            lines = _decoded(file, path)
            if delimiter is not None:
                csv.field_size_limit(max_cell_chars)
                yield from _table(path, lines, delimiter)
            elif plain_texts or suffix in {".jsonl", ".ndjson"}:
                yield from _objects(path, lines, plain_texts=plain_texts)
            else:
                raise FileError(f"{path}: unknown format {suffix!r}; use .csv, .tsv or .jsonl, each also as .gz")
    except gzip.BadGzipFile as error:
        raise FileError(f"{path}: not a gzip file ({error}); rename it or compress it") from error
    except EOFError as error:
        raise FileError(f"{path}: the gzip file ends too early; copy it again") from error
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error


def require_field(columns: Sequence[str], finder: FieldFinder, name: FieldName, flag: str) -> None:
    """Check that rows with these columns can have a field.

    Raises:
        FileError: they cannot; the message says which columns there are, and names the flag that chooses one.
    """
    if not finder.finds(name, columns):
        raise FileError(
            f"none of the columns {getattr(finder.paths, name)}; there are: {', '.join(columns)}; name one with {flag}"
        )


def delimiter_of(path: str | Path) -> str | None:
    """Return what separates the columns of a file with a header; None for any other file."""
    return {".csv": ",", ".tsv": "\t"}.get(_suffix(path))


def _suffix(path: str | Path) -> str:
    return Path(str(path).removesuffix(".gz")).suffix


def _opened(path: str) -> BufferedIOBase:
    if path == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return gzip.open(path, "rb") if path.endswith(".gz") else Path(path).open("rb")


def _decoded(file: Iterable[bytes], path: str | Path) -> Iterator[str]:
    """Yield lines; bytes that are not UTF-8 become lone surrogates, so that their row can be named."""
    for number, line in enumerate(file):
        if number == 0:
            if line.startswith(_UTF16_MARKS):
                raise FileError(f"{path}: UTF-16; convert it: iconv -f utf-16 -t utf-8")
            line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - the mark belongs to the file, not the line
        yield line.decode("utf-8", "surrogateescape")


def _table(path: str | Path, lines: Iterator[str], delimiter: str) -> Iterator[FileRow]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            number += 1
            yield FileRow(number, reader.line_num, header, {}, str(error), misquoted=True)
            continue
        if not header:
            header = cells
        elif cells:
            number += 1
            found = dict(zip(header, cells, strict=False))
            extra = "more cells than columns; quote texts that hold the delimiter" if len(cells) > len(header) else ""
            yield FileRow(number, reader.line_num, header, found, extra)
    if not header:
        raise FileError(f"{path}: empty; expected a header row and reviews below it")


def _objects(path: str | Path, lines: Iterator[str], *, plain_texts: bool) -> Iterator[FileRow]:
    number = 0
    for line_number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        number += 1
        found: Any
        if plain_texts and not line.lstrip().startswith("{"):
            found = {"text": line.rstrip("\r\n")}
        else:
            try:
                found = json.loads(line)
            except ValueError as error:
                yield FileRow(number, line_number, (), {}, f"not JSON: {error}")
                continue
        if isinstance(found, dict):
            yield FileRow(number, line_number, [*found], found)
        else:
            yield FileRow(number, line_number, (), {}, f"a JSON {type(found).__name__}, expected an object")
    if number == 0 and not plain_texts:
        raise FileError(f"{path}: empty; expected one JSON object a line")
