"""Where `predict` writes: JSON Lines or a CSV, with the input's columns kept and the prediction's next to them.

Owns the names of the columns, and that no reader sees half a file: it is written next to its place and renamed when it
is complete. `predict` decides what is written.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from schemas.input.files import FileRow
from schemas.input.text_files import STDIN, ending_of
from schemas.prediction import PREDICTION_FIELDS
from worker.errors import SettingsError

PREFIX: Final = "starstream_"  # of our columns, where the input may have one of the same name
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
        kept = {name: cell for name, cell in row.cells.items() if name not in line}
        self._file.write(json.dumps({**line, **kept}, default=str) + "\n")

    def not_rated(self, row: FileRow, fault: str) -> None:
        """Leave the row out: its fault is on the console."""


class _Table:
    """Every row of the input with its cells as they were, then our columns; the last says why the others are empty."""

    def __init__(self, file: TextIO, delimiter: str) -> None:
        self._writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        self._columns: Sequence[str] = ()

    def rated(self, row: FileRow, review_id: str | None, prediction: Mapping[str, Any]) -> None:
        """Write the row."""
        del review_id  # in one of the input's columns, when it has one
        self._write(row, [_cell(value) for value in prediction.values()], "")

    def not_rated(self, row: FileRow, fault: str) -> None:
        """Write the row with the fault."""
        self._write(row, [""] * len(PREDICTION_FIELDS), fault)

    def _write(self, row: FileRow, ours: Sequence[str], fault: str) -> None:
        if not self._columns:
            self._columns = [*row.columns]
            names = [PREFIX + name for name in (*PREDICTION_FIELDS, "error")]
            self._writer.writerow([*self._columns, *names])
        self._writer.writerow([*(_cell(row.cells.get(name)) for name in self._columns), *ours, fault])


def _cell(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return (value or "").encode("utf-8", "replace").decode("utf-8")  # bytes that were not UTF-8
    return json.dumps(value, default=str)


@contextmanager
def open_output(source: str, target: str) -> Iterator[Output]:
    """Open what the predictions of `source` go to: `-` is standard output, .csv and .tsv are tables, others JSON Lines.

    A file that is there stays as it is until all is written.

    Raises:
        SettingsError: the file cannot be written, or is the input.
    """
    if target == STDIN:
        yield _JsonLines(sys.stdout)
        return
    path = Path(target)
    if source != STDIN and path.exists() and path.samefile(source):
        raise SettingsError(f"--output {target}: is the input too; choose another name")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    delimiter = _DELIMITERS.get(ending_of(path))
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield _JsonLines(file) if delimiter is None else _Table(file, delimiter)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise SettingsError(f"--output {target}: {error.strerror or error}; choose another") from error
    finally:
        temporary.unlink(missing_ok=True)
