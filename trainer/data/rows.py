"""Labelled reviews from files, one row at a time.

Owns which rows can be trained on, and the reason for each that cannot. Memory: one row; `schemas.input.files` reads it.
`dataset` is next: it collects the rows and splits them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any, Final

from schemas.input import files
from schemas.input.fields import DEFAULT_PATHS, FIELD_NAMES, FieldFinder, FieldPaths
from schemas.input.text_files import NO_OPTIONS, FileError, FileOptions
from schemas.input.value import InvalidReviewError
from schemas.label_decision import LABEL_PATTERN
from schemas.manifest import Task
from trainer.errors import DataError

Label = int | tuple[str, ...]
BAR: Final = "|"  # between the names of a text's labels
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"", "0", "0.0", "false", "no"})
_NAME: Final = re.compile(LABEL_PATTERN)
_PREDICTED: Final = frozenset({"expected_rating", "model_version"})  # columns that only `predict` writes


@dataclass(frozen=True, slots=True)
class RowRules:
    """What a row must look like."""

    paths: FieldPaths = DEFAULT_PATHS  # where the text and the score are
    labels: frozenset[Any] = frozenset()  # the scores or names allowed; empty: any whole number, any name
    labelled: bool = True  # False: there is no score column, and every label is 0
    task: Task = "stars"
    label_columns: tuple[str, ...] = ()  # one a label, instead of one column of names
    how: FileOptions = NO_OPTIONS  # what the files do not say of themselves


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its stars, or with the names of its labels."""

    text: str
    label: Label
    group: str = ""  # what was reviewed, when the row says so


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
        DataError: the file cannot be read, is of no known format, or lacks a column; the message names those it has.
    """
    finder = FieldFinder(rules.paths)
    checked = False
    try:
        for row in files.read_rows(path, rules.how):
            if row.misquoted:
                raise DataError(f"{path}: {row.where}: {row.fault}")
            where = f"{path.name}: {row.where}"
            if row.fault:
                yield BadRow(where, row.fault)
                continue
            if not checked:
                _check_columns(path, row.columns, finder, rules)
                checked = True
            try:
                review = row.review(finder)
                label = _label(row, finder, rules) if rules.labelled else 0
                yield Row(review.text, label, intern(review.app_id or ""))
            except InvalidReviewError as error:
                yield BadRow(where, str(error))
    except FileError as error:
        raise DataError(str(error)) from error


def require_files(paths: Iterable[Path]) -> None:
    """Refuse paths that are not files, before anything slow begins.

    Raises:
        DataError: naming the first.
    """
    for path in paths:
        if not path.is_file():
            what = "a folder; name a file" if path.is_dir() else "not a file" if path.exists() else "No such file"
            raise DataError(f"{path}: {what}")


def _check_columns(path: Path, columns: Sequence[str], finder: FieldFinder, rules: RowRules) -> None:
    try:
        files.require_field(columns, finder, "text", "--text-field")
        if rules.labelled and not rules.label_columns:
            files.require_field(
                columns, finder, "score", "--score-field" if rules.task == "stars" else "--labels-field"
            )
    except FileError as error:
        raise DataError(f"{path}: {error}") from error
    missing = [name for name in rules.label_columns if name not in columns]
    if missing:
        raise DataError(f"{path}: --label-columns {missing[0]}: no such column; there are: {', '.join(columns)}")
    if (
        rules.labelled
        and rules.task == "stars"
        and rules.paths.score == DEFAULT_PATHS.score
        and {*columns} >= _PREDICTED
    ):
        raise DataError(
            f"{path}: its rating is a model's, not an author's ({', '.join(sorted(_PREDICTED))} are there too); "
            "name the column of the authors' stars with --score-field"
        )


def _label(row: files.FileRow, finder: FieldFinder, rules: RowRules) -> Label:
    if rules.task == "stars":
        return _stars(row, finder, rules.labels)
    names = _marked(row, rules.label_columns) if rules.label_columns else _names(row, finder)
    unknown = [name for name in names if rules.labels and name not in rules.labels]
    if unknown:
        raise InvalidReviewError(
            "wrong_type", f"{unknown[0]!r} is none of the labels {', '.join(sorted(rules.labels))}"
        )
    return names


def _names(row: files.FileRow, finder: FieldFinder) -> tuple[str, ...]:
    """Return the names of a cell, sorted, each once: joined by a bar, or a list; an empty cell has none."""
    found = finder.find(row.cells)[FIELD_NAMES.index("score")]
    if found is None:
        raise InvalidReviewError(
            "wrong_type", f"no labels in {finder.paths.score}; a text without any has an empty cell"
        )
    said = found if isinstance(found, list) else str(found).split(BAR)
    names = {str(name).strip() for name in said} - {""}
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong:
        raise InvalidReviewError(
            "wrong_type",
            f'label {wrong[0]!r}: expected at most 64 characters without control characters and : , | " \\',
        )
    return tuple(sorted(names))


def _marked(row: files.FileRow, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns whose cell says yes, sorted."""
    found = []
    for name in columns:
        cell = row.cells.get(name)
        said = "" if cell is None else str(cell).strip().casefold()
        if said not in _YES | _NO:
            raise InvalidReviewError("wrong_type", f"{name} {cell!r}: expected 1 or 0")
        if said in _YES:
            found.append(name)
    return tuple(sorted(found))


def _stars(row: files.FileRow, finder: FieldFinder, labels: frozenset[Any]) -> int:
    score = finder.find(row.cells)[FIELD_NAMES.index("score")]
    if score is None or score == "":
        raise InvalidReviewError("wrong_type", f"no score in {finder.paths.score}")
    label = _whole_number(score)
    if label is None:
        raise InvalidReviewError("wrong_type", f"score {score!r} is not a whole number")
    if labels and label not in labels:
        allowed = ", ".join(map(str, sorted(labels)))
        raise InvalidReviewError("wrong_type", f"score {label} is none of the labels {allowed}")
    return label


def _whole_number(score: Any) -> int | None:
    if isinstance(score, bool):
        return None
    try:
        number = float(score)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
