"""Reviews in files: CSV, TSV, JSON, JSON Lines and Parquet, one row at a time.

Owns the formats. Memory: one row, but a .json file is read whole. `text_files` opens and decodes, `fields` finds the
columns, and `review` decides what is a review; what a label is, `trainer.data.rows` does.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from schemas.input.fields import DEFAULT_PATHS, FieldFinder, FieldName, parse_paths
from schemas.input.text_files import NO_OPTIONS, STDIN, FileError, FileOptions, ending_of, opened, peek
from schemas.input.value import InvalidReviewError, describe_type, read_value, whole_number
from schemas.review import DEFAULT_MAX_TEXT_CHARS, Review, review_from

ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_DELIMITERS: Final = ",;\t|"
_MOST_NAMES: Final = 40
_LONGEST_HEADER: Final = 4096
_BESIDE: Final = frozenset({"links", "included", "errors", "warnings"})  # lists of an API's page that are not its data
_KNOWN_COLUMNS: Final = frozenset(
    name.casefold() for paths in astuple(DEFAULT_PATHS) for joined in parse_paths(paths) for name in joined
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row, or what is wrong with it."""

    number: int  # from 1; the header and blank lines are not counted
    line: int  # where it ends, from 1
    columns: Sequence[str]  # the header, a name that comes again as "name (2)"; or the names in a JSON object
    cells: Mapping[str, Any]  # by column; a short row of a CSV lacks the last ones
    fault: str = ""  # why there are no cells, else empty
    misquoted: bool = False  # the fault is in the quoting of a CSV, so the rows after it may be wrong too

    @property
    def where(self) -> str:
        """The row's place in the file, for messages."""
        return f"row {self.number} (line {self.line})" if self.line else f"row {self.number}"

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
            byte = "\udc80" <= review.text[error.start] <= "\udcff"  # how `text_files` keeps it
            remedy = (
                "name the file's encoding: --encoding cp1252" if byte else "it is half of a surrogate pair; remove it"
            )
            raise InvalidReviewError(
                "not_utf8", f"text: not UTF-8 at character {error.start}; {remedy}"
            ) from None  # the cause quotes the text
        return review


def read_rows(path: str | Path, how: FileOptions = NO_OPTIONS, *, max_cell_chars: int = 131_072) -> Iterator[FileRow]:
    """Yield the rows of a file in order. Blank lines are not rows.

    Args:
        path: the ending names the format, in any letter case; `-` is standard input: JSON, or one text a line.
        how: what the file does not say of itself.
        max_cell_chars: a longer cell of a CSV is a fault.

    Raises:
        FileError: the file cannot be read, is empty or not of its format, or has a quotation mark that is never closed.
    """
    ending = ending_of(path)
    try:
        if Path(path).is_dir():
            raise FileError(f"{path}: a folder; name a file")
        if str(path) != STDIN:
            Path(path).stat()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    if ending == ".parquet":
        yield from _parquet(path)
        return
    if ending not in ENDINGS and str(path) != STDIN:
        known = ", ".join((*ENDINGS, ".parquet"))
        spreadsheet = ending in {".xlsx", ".xls", ".ods", ".numbers"}
        by_line = "to rate each line of another text file, send it to standard input (-)"
        how_else = "save the sheet as .csv" if spreadsheet else by_line
        raise FileError(f"{path}: unknown format {ending!r}; expected {known}, each also as .gz or .zst; {how_else}")
    with opened(path, how.encoding) as lines:
        if has_header(path):
            yield from _table(path, lines, how.delimiter or ("\t" if ending == ".tsv" else None), max_cell_chars)
        else:
            yield from _objects(path, lines, plain_texts=str(path) == STDIN)


def require_field(columns: Sequence[str], finder: FieldFinder, name: FieldName, flag: str) -> None:
    """Check that rows with these columns can have a field.

    Raises:
        FileError: they cannot; the message says which columns there are, and names the flag that chooses one.
    """
    if not finder.finds(name, columns):
        raise FileError(
            f"none of the columns {getattr(finder.paths, name)}; there are: {_listed(columns)}; name one with {flag}"
        )


def _listed(columns: Sequence[str]) -> str:
    """Return the names fit for one line: a file that is none of ours may have anything for its first line."""
    names = [name[:60] if name.isprintable() else ascii(name[:60]) for name in columns[:_MOST_NAMES]]
    return ", ".join(names) + (f" and {len(columns) - _MOST_NAMES} more" if len(columns) > _MOST_NAMES else "")


def has_header(path: str | Path) -> bool:
    """Tell whether all rows of a file have the same columns, named at its beginning."""
    return ending_of(path) in {".csv", ".tsv", ".parquet"}


def _table(path: str | Path, lines: Iterator[str], delimiter: str | None, max_cell_chars: int) -> Iterator[FileRow]:
    csv.field_size_limit(max_cell_chars)
    first, lines = peek(lines)
    if first.lower().startswith("sep=") and len(first.strip()) == 5:  # what Excel writes and reads
        delimiter = delimiter or first[4]
        next(lines)
        first, lines = peek(lines)
    if first.lstrip()[:1] in {"[", "{"}:
        raise FileError(
            f"{path}: begins like JSON ({first.lstrip()[:1]}), expected a header row; name it .json or .jsonl"
        )
    reader = csv.reader(lines, delimiter=delimiter or _likely_delimiter(first), strict=True)
    header: list[str] = []
    number = 0
    while True:
        began = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if swallowed := reader.line_num - began:
                below = f"{swallowed} lines" if swallowed > 1 else "line"
                raise FileError(
                    f"{path}: line {began}: a quotation mark is opened and not closed in the next {below}; "
                    "close it, or double it if it belongs to the text"
                ) from error
            number += 1
            remedy = "double each quotation mark inside a text, and close each that opens one"
            yield FileRow(number, reader.line_num, header, {}, f"{error}; {remedy}", misquoted=True)
            continue
        if not header:
            header = _distinct(cells)
        elif cells:
            number += 1
            found = dict(zip(header, cells, strict=False))
            extra = "more cells than columns; quote texts that hold the delimiter" if len(cells) > len(header) else ""
            yield FileRow(number, reader.line_num, header, found, extra)
    if not header:
        raise FileError(f"{path}: empty; expected a header row and reviews below it")


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names of columns with a number after each that was there before, so that no cell hides another."""
    found: dict[str, None] = {}
    for name in names:
        distinct, count = name, 1
        while distinct in found:
            count += 1
            distinct = f"{name} ({count})".strip()
        found[distinct] = None
    return [*found]


def _likely_delimiter(header: str) -> str:
    """Return the delimiter that gives a header the most columns."""
    try:
        counts = {delimiter: len(next(csv.reader([header], delimiter=delimiter), [])) for delimiter in _DELIMITERS}
    except csv.Error:
        return ","
    return max(_DELIMITERS, key=counts.__getitem__)


def _objects(path: str | Path, lines: Iterator[str], *, plain_texts: bool) -> Iterator[FileRow]:
    """Yield the objects of JSON Lines; or of a JSON array, or of an object that holds one."""
    first, lines = peek(lines)
    if _is_header(first):
        place = "save it as a file whose name ends in .csv, and name that" if plain_texts else "name it .csv"
        raise FileError(f"{path}: begins with a CSV's header; {place}")
    if _is_document(first, plain_texts=plain_texts):
        yield from _document(path, "".join(lines))
        return
    number = line_number = 0
    while line := next(lines, ""):
        line_number += 1
        if not line.strip():
            continue
        number += 1
        found: Any
        try:
            is_text = plain_texts and not line.lstrip().startswith("{")
            found = read_value(line.rstrip("\r\n"), "auto") if is_text else json.loads(line, parse_int=whole_number)
        except InvalidReviewError as error:
            yield FileRow(number, line_number, (), {}, str(error).removeprefix("value: "))
            continue
        except (ValueError, RecursionError) as error:
            yield FileRow(number, line_number, (), {}, f"not JSON: {error}")
            continue
        page = _listed_in(found) if number == 1 else None
        if page is not None:  # only now is the next line waited for: a pipe's first review must not wait for its second
            after, lines = peek(lines)
            if not after.strip():
                yield from (_object(place, 0, value) for place, value in enumerate(page, start=1))
                return
        yield _object(number, line_number, found)
    if number == 0 and not plain_texts:
        raise FileError(f"{path}: empty; expected one JSON object a line, or an array of objects")


def _is_header(first: str) -> bool:
    """Tell whether a line is a CSV's header: at least two of its columns have names that are known."""
    if len(first) > _LONGEST_HEADER:
        return False
    names = next(csv.reader([first], delimiter=_likely_delimiter(first)), [])
    return len(_KNOWN_COLUMNS.intersection(name.strip().casefold() for name in names)) > 1


def _is_document(first: str, *, plain_texts: bool) -> bool:
    """Tell whether JSON that begins with this line goes over several: an array, or an object that is not closed yet."""
    text = first.strip()
    if text[:1] == "[":
        return not plain_texts or text[1:].lstrip()[:1] in {"", "{"}
    return text[:1] == "{" and text[-1:] in {"{", "[", ","}


def _document(path: str | Path, text: str) -> Iterator[FileRow]:
    try:
        found = json.loads(text, parse_int=whole_number)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: not JSON: {error}; expected an array of objects, or one object a line") from error
    if isinstance(found, dict):
        found = _listed_in(found) or [found]
    for number, value in enumerate(found, start=1):
        yield _object(number, 0, value)
    if not found:
        raise FileError(f"{path}: an empty array; expected one object a review")


def _listed_in(found: Any) -> list[Any] | None:
    """Return the objects that an API's page lists, as `{"data": [...], "links": {...}}` does; None for another object.

    An object with words of its own is a review, whatever it lists.
    """
    if not isinstance(found, dict) or any(isinstance(value, str) and " " in value.strip() for value in found.values()):
        return None
    lists = [
        value
        for name, value in found.items()
        if name not in _BESIDE and isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    return lists[0] if len(lists) == 1 else None


def _object(number: int, line: int, found: Any) -> FileRow:
    if isinstance(found, str):  # as in Kafka: it is the text, or an object that was encoded twice
        try:
            found = json.loads(found, parse_int=whole_number) if found.lstrip()[:1] == "{" else {"text": found}
        except (ValueError, RecursionError) as error:
            return FileRow(number, line, (), {}, f"a JSON string that begins like an object, but is not JSON: {error}")
    if isinstance(found, dict):
        return FileRow(number, line, [*found], found)
    return FileRow(number, line, (), {}, f"{describe_type(found)}, expected an object")


def _parquet(path: str | Path) -> Iterator[FileRow]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise FileError(f"{path}: Parquet needs the package pyarrow, the extra `parquet`") from error
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                names = _distinct(batch.schema.names)
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield FileRow(number, 0, names, dict(zip(names, values, strict=True)))
            if number == 0:
                raise FileError(f"{path}: empty; expected a row a review")
    except (ArrowException, OSError) as error:
        raise FileError(f"{path}: not a Parquet file that can be read: {error}") from error
