"""Batch prediction: a CSV or JSONL file in, JSON lines out, no Kafka and no Redis.

Owns the reading of rows and the report of those that are wrong. The rating is the stream's own: same parser rules,
same classifier. Rows are streamed, so memory does not grow with the file.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from rich.console import Console
from rich.progress import Progress

from schemas.bundle import BundleError
from schemas.inference import Model
from schemas.review import InvalidReviewError, Review, check_review, parse_review
from worker.errors import ExitCode, ModelError, SettingsError
from worker.model.registry import fetch_bundle, resolve_version
from worker.model.runtime import load_runtime
from worker.settings import WorkerSettings

_TEXT_COLUMNS: Final = ("content", "text", "review")
_CHUNK_ROWS: Final = 1024
_SHOWN_FAULTS: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input: its number from 1, headers not counted, and a review or what is wrong with it."""

    number: int
    review: Review | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class PredictFiles:
    """What to rate and where to: `-` is standard input (JSON lines, or plain texts) or output."""

    source: str
    target: str
    text_column: str | None = None

    def rows(self, lines: TextIO, settings: WorkerSettings) -> Iterator[Row]:
        """Read the rows, by the file's ending."""
        if self.source.endswith((".csv", ".tsv")):
            return _csv_rows(lines, self.source, self.text_column, settings)
        return _json_rows(lines, settings)


def predict(settings: WorkerSettings, files: PredictFiles) -> ExitCode:
    """Rate every row of a file and report rows that could not be by number.

    Returns:
        OK, or INPUT when some rows could not be rated (the others were).

    Raises:
        SettingsError: the file cannot be read, or has no text column.
        ModelError: no bundle.
    """
    runtime, interpreter_factory = load_runtime(settings.runtime)
    version = settings.model_version or resolve_version(settings.registry, settings.channel)
    try:
        model = fetch_bundle(settings.registry, version).load(interpreter_factory)
    except BundleError as error:
        raise ModelError(str(error)) from error
    console = Console(stderr=True)
    console.print(f"model {version} on {runtime}", highlight=False)
    rated = wrong = 0
    with ExitStack() as opened:
        lines = opened.enter_context(_opened(files.source))
        rows = files.rows(lines, settings)
        output = sys.stdout if files.target == "-" else opened.enter_context(_target(files.target))
        progress = opened.enter_context(Progress(console=console, disable=not console.is_terminal))
        task = progress.add_task("rating", total=None)
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            refused = _write(model, version, [row for row in chunk if row.review is not None], output)
            faults = sorted([*(row for row in chunk if row.review is None), *refused], key=lambda row: row.number)
            for row in faults[: max(0, _SHOWN_FAULTS - wrong)]:
                line = f"{files.source}: row {row.number}: {row.fault}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            wrong += len(faults)
            rated += len(chunk) - len(faults)
            progress.update(task, advance=len(chunk))
    if wrong > _SHOWN_FAULTS:
        console.print(f"... and {wrong - _SHOWN_FAULTS} more rows")
    console.print(f"{rated} rows rated, {wrong} not", highlight=False)
    return ExitCode.INPUT if wrong else ExitCode.OK


def _target(path: str) -> TextIO:
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--output {path}: {error.strerror}") from error


def _write(model: Model, version: str, rows: list[Row], output: TextIO) -> list[Row]:
    """Write the ratings of valid rows, and return those that the runtime refuses: halved until they stand alone."""
    if not rows:
        return []
    try:
        scores = model.score([row.review.text for row in rows if row.review is not None])
    except (RuntimeError, ValueError, MemoryError):
        if len(rows) == 1:
            return [Row(rows[0].number, None, "text: the model refused it")]
        half = len(rows) // 2
        return _write(model, version, rows[:half], output) + _write(model, version, rows[half:], output)
    labels = model.decision.labels
    for row, choice, expected, probabilities in zip(
        rows,
        scores.choices.tolist(),
        scores.expected.tolist(),
        scores.probabilities.astype(np.float64).round(6).tolist(),
        strict=True,
    ):
        entry = {
            "row": row.number,
            "review_id": row.review.review_id if row.review else None,
            "rating": labels[choice],
            "expected_rating": round(expected, 4),
            "confidence": probabilities[choice],
            "probabilities": probabilities,
            "model_version": version,
        }
        output.write(json.dumps(entry) + "\n")
    return []


def _opened(source: str) -> TextIO:
    # A byte that is not UTF-8 becomes a lone surrogate, so that its row, and only its row, is reported.
    if source == "-":
        return open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", newline="", closefd=False)
    try:
        return Path(source).open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise SettingsError(f"--input {source}: {error.strerror}") from error


def _json_rows(lines: Iterable[str], settings: WorkerSettings) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        value = line.rstrip("\r\n").encode("utf-8", "surrogateescape")
        try:
            yield Row(number, parse_review(value, max_text_chars=settings.max_text_chars))
        except InvalidReviewError as error:
            yield Row(number, None, str(error))


def _csv_rows(lines: Iterable[str], source: str, text_column: str | None, settings: WorkerSettings) -> Iterator[Row]:
    csv.field_size_limit(10 * settings.max_text_chars + 131_072)
    reader = csv.DictReader(lines, delimiter="\t" if source.endswith(".tsv") else ",", strict=True)
    names = list(reader.fieldnames or [])
    column = text_column or next((name for name in _TEXT_COLUMNS if name in names), "")
    if column not in names:
        asked = f"--text-column {text_column}" if text_column else f"--text-column: none of {_TEXT_COLUMNS}"
        raise SettingsError(f"{asked} is in {source}; its columns are {names}")
    number = 0
    while True:
        number += 1
        try:
            fields = next(reader)
            yield Row(number, _review(fields, column, settings))
        except StopIteration:
            return
        except (InvalidReviewError, csv.Error) as error:
            yield Row(number, None, str(error))


def _review(fields: dict[str, str | None], column: str, settings: WorkerSettings) -> Review:
    if None in fields:
        raise InvalidReviewError("wrong_type", "more cells than columns; quote texts that hold the delimiter")
    text = fields[column]
    if text is None:
        raise InvalidReviewError("no_text", f"{column}: the row ends before this column")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidReviewError("not_utf8", f"{column}: not UTF-8; save the file as UTF-8") from None
    review = Review.model_construct(text=text, review_id=fields.get("review_id") or fields.get("reviewId") or None)
    check_review(review, settings.max_text_chars)
    return review
