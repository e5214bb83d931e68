"""`predict`: rates the reviews of a file without Kafka or Redis; predictions come out as JSON lines or as CSV.

Owns the output, and the report of rows that could not be rated. `schemas.input.files` reads the rows; the checks and
the model are the stream's own. Memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Final

from rich.console import Console

from schemas.input.fields import FieldFinder
from schemas.input.files import FileRow, has_header, read_rows
from schemas.input.text_files import NO_OPTIONS, FileError, FileOptions
from schemas.input.value import InvalidReviewError
from schemas.review import Review
from worker.clock import SystemClock
from worker.commands.columns import check_columns
from worker.commands.prediction_file import Output, open_output
from worker.errors import ExitCode, SettingsError
from worker.model.loading import serving_version, starter_remark, with_starter
from worker.model.predictor import Model
from worker.ops.progress import LongRun
from worker.ops.signals import ends_on_signal
from worker.settings import WorkerSettings

_CHUNK_ROWS: Final = 1024
_CHUNK_ROWS_WITH_REASONS: Final = 256  # each is rated once for each of its words, and the progress is to move
_SHOWN_FAULTS: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the input: a review, or what is wrong with it."""

    source: FileRow
    review: Review | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class PredictFiles:
    """What to rate, and where the predictions go: `-` is standard input (JSON objects or plain texts) or output."""

    source: str
    target: str
    how: FileOptions = NO_OPTIONS


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Run the command.

    Raises:
        WorkerError: as `predict`, or a flag is wrong.
    """
    try:
        how = FileOptions(known.encoding, known.delimiter)
    except ValueError as error:
        raise SettingsError(f"--{error}") from error
    return predict(settings, PredictFiles(known.input, known.output, how))


def predict(settings: WorkerSettings, files: PredictFiles) -> ExitCode:
    """Rate every row of a file, and report those that could not be rated.

    Returns:
        OK, or INPUT when some rows could not be rated (the others were).

    Raises:
        SettingsError: the file cannot be read, has no text column, or is the output too.
        ModelError: no bundle.
    """
    model = Model.open(
        settings.registry,
        serving_version(with_starter(settings)),
        min_confidence=settings.min_confidence,
        max_text_chars=settings.max_text_chars,
        runtime=settings.runtime,
        reasons=settings.reasons,
    )
    console = Console(stderr=True)
    rated = wrong = 0
    chunks = _chunks(settings, files)
    chunk = next(chunks, [])  # a file that cannot be read is reported before the output is opened
    fields = model.fields_given(author_scores=_may_have_scores(settings, files.source, chunk))
    progress = LongRun(console, SystemClock(), "rating", None, unit="rows")
    with ends_on_signal(), open_output(files.source, files.target, fields) as output, progress:
        # Now, for a file or flag that is wrong is answered in one line.
        console.print(f"model {model.version} on {model.runtime}", highlight=False)
        remark = starter_remark(settings, model.version)
        if remark is not None:
            console.print(remark, markup=False, highlight=False, soft_wrap=True)
        while chunk:
            faults = _write(model, chunk, output)
            for row in faults[: max(0, _SHOWN_FAULTS - wrong)]:
                line = f"{files.source}: {row.source.where}: {row.fault}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            wrong += len(faults)
            rated += len(chunk) - len(faults)
            progress.update(rated + wrong, "")
            chunk = next(chunks, [])
    if wrong > _SHOWN_FAULTS:
        console.print(f"... and {wrong - _SHOWN_FAULTS} more rows")
    console.print(f"{rated} {'row' if rated == 1 else 'rows'} rated, {wrong} not", highlight=False)
    return ExitCode.INPUT if wrong else ExitCode.OK


def _write(model: Model, rows: Sequence[Row], output: Output) -> list[Row]:
    """Write the rows, and return those that could not be rated, in order."""
    valid = {row.source.number: row.review for row in rows if row.review is not None}
    rated = model.rate((review.text for review in valid.values()), (review.score for review in valid.values()))
    predictions = dict(zip(valid, rated, strict=True))
    faults = []
    for row in rows:
        prediction = predictions.get(row.source.number)
        if row.review is not None and prediction is not None:
            output.rated(row.source, row.review.review_id, prediction.to_fields())
        else:
            faults.append(row if row.review is None else Row(row.source, fault="text: the model refused it"))
            output.not_rated(row.source, faults[-1].fault)
    return faults


def _may_have_scores(settings: WorkerSettings, source: str, chunk: Sequence[Row]) -> bool:
    """Return whether a table of the rows needs a column for contradictions: objects may have other fields later."""
    finder = FieldFinder(settings.field_paths)
    return not has_header(source) or any(finder.finds("score", row.source.columns) for row in chunk[:1])


def _chunks(settings: WorkerSettings, files: PredictFiles) -> Iterator[list[Row]]:
    rows = _rows(settings, files.source, files.how)
    size = _CHUNK_ROWS if settings.reasons == "off" else _CHUNK_ROWS_WITH_REASONS
    try:
        while chunk := list(islice(rows, size)):
            yield chunk
    except FileError as error:
        raise SettingsError(f"--input {error}") from error


def _rows(settings: WorkerSettings, source: str, how: FileOptions) -> Iterator[Row]:
    finder = FieldFinder(settings.field_paths)
    longest = 10 * settings.max_text_chars + 131_072
    for row in read_rows(source, how, max_cell_chars=longest):
        if row.number == 1 and has_header(source):
            check_columns(source, row.columns, finder, settings, Console(stderr=True))
        try:
            yield Row(row, row.review(finder, settings.max_text_chars))
        except InvalidReviewError as error:
            yield Row(row, fault=str(error))
