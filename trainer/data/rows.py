"""Labelled reviews from files, one row at a time.

Owns which rows can be trained on, and the reason for each that cannot. Memory: one row; `schemas.files` reads it.
`dataset` is next: it collects the rows and splits them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import files
from schemas.review import InvalidReviewError, check_text
from trainer.errors import DataError


@dataclass(frozen=True, slots=True)
class RowRules:
    """What a row must look like."""

    text_column: str | None = None  # name of the column; None: the first of the usual names that the file has
    score_column: str | None = None  # the same for the score
    labels: frozenset[int] = frozenset()  # the scores allowed; empty: any whole number
    labelled: bool = True  # False: there is no score column, and every label is 0


@dataclass(frozen=True, slots=True)
class Row:
    """A review with the author's label."""

    text: str
    label: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used. `where` is `file: row N (line L)`; the header and blank lines are not counted."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def read_rows(path: Path, rules: RowRules = RowRules()) -> Iterator[Row | BadRow]:
    """Yield each row of a file in order, good or bad.

    Raises:
        DataError: the file cannot be read, is not CSV or JSONL, or lacks a column; the message names those it has.
    """
    columns: tuple[str, str | None] | None = None
    try:
        for row in files.read_rows(path):
            if row.misquoted:
                raise DataError(f"{path}: {row.where}: {row.fault}; is a quotation mark left open?")
            where = f"{path.name}: {row.where}"
            if row.fault:
                yield BadRow(where, row.fault)
                continue
            columns = columns or _columns(path, row.columns, rules)
            try:
                yield Row(*_text_and_label(row, *columns, rules.labels))
            except InvalidReviewError as error:
                yield BadRow(where, str(error))
    except files.FileError as error:
        raise DataError(str(error)) from error


def require_files(paths: Iterable[Path]) -> None:
    """Refuse paths that are not files, before anything slow begins.

    Raises:
        DataError: naming the first.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path}: {'not a file' if path.exists() else 'No such file'}")


def _columns(path: Path, columns: Sequence[str], rules: RowRules) -> tuple[str, str | None]:
    try:
        text = files.find_column(columns, files.TEXT_COLUMNS, rules.text_column, "--text-column")
        if not rules.labelled:
            return text, None
        return text, files.find_column(columns, files.SCORE_COLUMNS, rules.score_column, "--score-column")
    except files.FileError as error:
        raise DataError(f"{path}: {error}") from error


def _text_and_label(row: files.FileRow, text: str, score: str | None, labels: frozenset[int]) -> tuple[str, int]:
    found = row.text(text)
    check_text(found)
    if score is None:
        return found, 0
    if score not in row.cells:
        raise InvalidReviewError("wrong_type", f"no {score!r}")
    label = _label(row.cells[score])
    if label is None:
        raise InvalidReviewError("wrong_type", f"score {row.cells[score]!r} is not a whole number")
    if labels and label not in labels:
        allowed = ", ".join(map(str, sorted(labels)))
        raise InvalidReviewError("wrong_type", f"score {label} is none of the labels {allowed}")
    return found, label


def _label(score: Any) -> int | None:
    if isinstance(score, bool):
        return None
    try:
        number = float(score)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
