"""Where `predict` writes: JSON Lines or a CSV, with the input's columns kept and the prediction's next to them.

Owns the names of the columns, and that no reader sees half a file: it is written next to its place and renamed when it
is complete. `predict` decides what is written.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TextIO, cast

import zstandard

from schemas.input.files import FileRow, has_header
from schemas.input.text_files import STDIN, ending_of
from schemas.prediction import PREDICTION_FIELDS
from worker.errors import SettingsError

PREFIX: Final = "starstream_"  # of our columns, where the input may have one of the same name
# What any prediction may have added: reasons of another run must not stand beside this one's stars.
_EARLIER: Final = frozenset(PREFIX + name for name in (*PREDICTION_FIELDS, "error"))
_NOT_WRITTEN: Final = frozenset({".parquet", ".xlsx", ".xls", ".ods"})
_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}


class Output(Protocol):
    """Takes the rows of the input in order."""

    def rated(self, row: FileRow, review_id: str | None, prediction: Mapping[str, Any]) -> None:
        """Write a row with its prediction."""

    def not_rated(self, row: FileRow, fault: str) -> None:
        """Write a row that has none, where the format has a place for it."""


class _JsonLines:
    """A line for each rated row: ours under their own names, or with the prefix where the input has other values."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def rated(self, row: FileRow, review_id: str | None, prediction: Mapping[str, Any]) -> None:
        """Write the line."""
        line: dict[str, Any] = {}
        for name, value in {"row": row.number, "review_id": review_id, **prediction}.items():
            taken = row.cells.get(name) not in (None, "", value)
            line[PREFIX + name if taken else name] = value
        replaced = {*line, *_EARLIER, PREFIX + "row", PREFIX + "review_id"}
        kept = {name: cell for name, cell in row.cells.items() if name not in replaced}
        whole = {**line, **kept}
        try:
            text = json.dumps(whole, default=str, allow_nan=False)
        except ValueError:  # a cell such as 1e400, which JSON has no other word for
            text = json.dumps(_finite(whole), default=str)
        self._file.write(text + "\n")

    def not_rated(self, row: FileRow, fault: str) -> None:
        """Leave the row out: its fault is on the console."""


def _finite(value: Any) -> Any:
    """Return the value with null for each number that is none in JSON."""
    if isinstance(value, Mapping):
        return {name: _finite(cell) for name, cell in value.items()}
    if isinstance(value, list):
        return [_finite(cell) for cell in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Table:
    """Every row of the input with its cells as they were, then our columns; the last says why the others are empty.

    A header names the columns of all rows. Objects may each have other fields, so the rows of objects wait in a
    temporary file until all are known.
    """

    def __init__(self, file: TextIO, delimiter: str, waiting: TextIO | None, fields: Sequence[str]) -> None:
        self._fields = fields
        self._writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        self._waiting = waiting
        self._columns: dict[str, None] = {}

    def rated(self, row: FileRow, review_id: str | None, prediction: Mapping[str, Any]) -> None:
        """Write the row."""
        del review_id  # in one of the input's columns, when it has one
        self._write(row, [_cell(prediction.get(name)) for name in self._fields], "")

    def not_rated(self, row: FileRow, fault: str) -> None:
        """Write the row with the fault."""
        self._write(row, [""] * len(self._fields), fault)

    def _write(self, row: FileRow, ours: Sequence[str], fault: str) -> None:
        if self._waiting is not None:
            self._columns |= dict.fromkeys(row.columns)
            cells = {name: _cell(cell) for name, cell in row.cells.items()}
            self._waiting.write(json.dumps([cells, [*ours, fault]]) + "\n")
            return
        if not self._columns:
            self._write_header(row.columns)
        self._writer.writerow([*(_cell(row.cells.get(name)) for name in self._columns), *ours, fault])

    def _write_header(self, columns: Iterable[str]) -> None:
        names = [PREFIX + name for name in (*self._fields, "error")]
        self._columns = {name: None for name in columns if name not in _EARLIER}
        self._writer.writerow([*map(_cell, self._columns), *names])

    def finish(self) -> None:
        """Write the rows that wait."""
        if self._waiting is not None:
            self._write_header(self._columns)
            self._waiting.seek(0)
            for cells, ours in map(json.loads, self._waiting):
                self._writer.writerow([*(cells.get(name, "") for name in self._columns), *ours])


def _cell(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool | int | float | list | dict):
        text = json.dumps(_finite(value), default=str, ensure_ascii=False)
    else:
        text = "" if value is None else str(value)
    return text.encode("utf-8", "replace").decode("utf-8")  # bytes that were not UTF-8


@contextmanager
def open_output(source: str, target: str, fields: Sequence[str]) -> Iterator[Output]:
    """Open what the predictions of `source` go to: `-` is standard output, .csv and .tsv are tables, others JSON Lines.

    A file that is there stays as it is until all is written; a device or a pipe is written to. .gz and .zst compress.

    `fields` are those of a prediction.

    Raises:
        SettingsError: the file cannot be written, or is the input.
    """
    if target == STDIN:
        with _standard_output() as output:
            yield output
        return
    try:
        path = Path(target).resolve()  # a link stays, and what it names is replaced
        is_folder = not target.strip() or path.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise SettingsError(f"--output {target}: {error}") from error
    if is_folder:
        raise SettingsError(f"--output {target!r}: a folder; name a file, or - for standard output")
    if not path.parent.is_dir():
        raise SettingsError(f"--output {target}: there is no folder {Path(target).parent}; make it or choose another")
    if ending_of(path) in _NOT_WRITTEN:
        raise SettingsError(f"--output {target}: {ending_of(path)} is not written; choose .csv, .tsv or .jsonl")
    try:
        if source != STDIN and path.exists() and path.samefile(source):
            raise SettingsError(f"--output {target}: is the input too; choose another name")
        if path.exists() and not path.is_file():
            with _formatted(source, path, Path(target), fields) as output:
                yield output
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with _formatted(source, path, temporary, fields) as output:
                yield output
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"--output {target}: {error.strerror or error}; choose another") from error


@contextmanager
def _standard_output() -> Iterator[Output]:
    if sys.stdout is None:
        raise SettingsError("--output -: standard output is closed; name a file")
    try:
        yield _JsonLines(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # its reader has seen enough, which is no error
        raise
    except OSError as error:
        raise SettingsError(f"--output -: {error.strerror or error}; choose another") from error


@contextmanager
def _formatted(source: str, path: Path, place: Path, fields: Sequence[str]) -> Iterator[Output]:
    """Open `place` for the format that the name of `path` asks for."""
    delimiter = _DELIMITERS.get(ending_of(path))
    with ExitStack() as stack:
        file = stack.enter_context(_packed(path.suffix.lower(), place))
        if delimiter is None:
            yield _JsonLines(file)
            return
        objects = not has_header(source)
        waiting = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) if objects else None
        table = _Table(file, delimiter, waiting, fields)
        yield table
        table.finish()


def _packed(ending: str, place: Path) -> TextIO:
    if ending == ".gz":
        return cast("TextIO", gzip.open(place, "wt", encoding="utf-8", newline=""))
    if ending == ".zst":
        return cast("TextIO", zstandard.open(place, "wt", encoding="utf-8", newline=""))
    return place.open("w", encoding="utf-8", newline="")
