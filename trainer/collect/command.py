"""`collect`: a training file from what flowed through Kafka.

Owns what each record means, and the file. `topics` reads, `join` joins. A record that cannot be used is counted by its
reason and skipped; its text is never printed.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from schemas.drift import SCRIPT_BINS, script_bin
from schemas.feedback import parse_feedback
from schemas.input.fields import DEFAULT_PATHS, FieldFinder, FieldPaths
from schemas.input.value import InvalidReviewError
from schemas.input.wire_format import WireReader
from schemas.personal.mask import Masker
from schemas.review import Review, check_identifier, deleted_id, deleted_row_id, parse_review, review_id_of
from trainer.collect.join import Labelled, Pool, Totals
from trainer.collect.registry import make_reader
from trainer.collect.settings import CollectSettings, start_of
from trainer.collect.topics import LogRecord, read_topics
from trainer.console import Screen, plain_table
from trainer.data.split import group
from trainer.errors import DataError

NOTHING = Totals(0, 0, 0, 0, 0, 0)
MOST_STARS = 1000
COLUMNS = ("content", "score", "review_id", "app_id", "at")


@dataclass(slots=True)
class Collected:
    """The counts of a collection."""

    records: int = 0  # how many were read
    kinds: Counter[str] = field(default_factory=Counter)  # reviews, stars, deletions
    bad: Counter[str] = field(default_factory=Counter)  # unusable records by reason
    totals: Totals = NOTHING  # the reviews by what happened to them
    stars: Counter[int] = field(default_factory=Counter)  # rows written, by score
    masked: Counter[str] = field(default_factory=Counter)  # personal data in the rows written, by kind
    scripts: Counter[str] = field(default_factory=Counter)  # rows written, by script, as `schemas.drift` finds it


def collect(settings: CollectSettings, screen: Screen) -> Collected:
    """Read the topics and write the file.

    Raises:
        FlagError: a file of the connection cannot be used.
        StreamError: Kafka cannot be read.
        DataError: too few reviews have stars, or the file cannot be written; then no file is written.
    """
    settings.check_files()
    since = start_of(settings.since, datetime.now(UTC))
    try:
        there = settings.out.absolute().parent.is_dir()
    except OSError as error:
        raise DataError(f"--out {settings.out}: {error.strerror}") from error
    if not there:
        raise DataError(f"--out {settings.out}: no such folder; make it first")
    with Pool() as pool:
        with screen.phase("read"):
            records, reader = read_topics(settings, since), make_reader(settings)
            found = sort_records(records, pool, settings.labels, settings.field_paths, reader)
        with screen.phase("join"):
            found.totals = pool.totals()
            if found.totals.written < settings.min_reviews:
                show(found, settings, screen)
                raise DataError(
                    f"{found.totals.written} reviews have stars, fewer than --min-reviews {settings.min_reviews}; "
                    f"nothing was written. Do producers send `score`, or is there a feedback topic? "
                    f"Look further back than --since {settings.since}?"
                )
            masker = Masker(keep=settings.keep_personal_data)
            write(settings.out, masked(_counted(pool.labelled(), found), masker))
            found.masked.update(masker.counts)
    return found


def show(found: Collected, settings: CollectSettings, screen: Screen) -> None:
    """Print the counts."""
    totals = found.totals
    counts = {
        "records read": found.records,
        **{f"  {kind}": count for kind, count in sorted(found.kinds.items())},
        **{f"  bad: {reason}": count for reason, count in found.bad.most_common()},
        "reviews without stars": totals.unscored,
        "reviews deleted": totals.deleted,
        "reviews that repeat another's words": totals.repeated,
        "  of texts with different stars": totals.contradicted,
        "stars without a review": totals.stars_without_review,
        "written": totals.written,
        **{f"  masked: {kind}": count for kind, count in found.masked.most_common()},
    }
    rows = [(name, str(count)) for name, count in counts.items()]
    screen.result(plain_table(f"{', '.join(settings.topic)} since {settings.since}", ("", "count"), rows))
    for title, mix in (("stars", found.stars), ("script", found.scripts)):
        if mix:
            screen.result(plain_table(title, ("", "count", "share"), _shares(mix)))


def sort_records(
    records: Iterable[LogRecord],
    pool: Pool,
    labels: Sequence[int],
    paths: FieldPaths = DEFAULT_PATHS,
    reader: WireReader | None = None,
) -> Collected:
    """Put every record into the pool, and count those that cannot be used.

    A reader reads values in a registry's wire format; the others, such as stars, are JSON as ever.
    """
    found = Collected()
    finder = FieldFinder(paths)
    for record in records:
        found.records += 1
        try:
            found.kinds[_sort(_decoded(record, reader), pool, frozenset(labels), finder)] += 1
        except InvalidReviewError as error:
            found.bad[error.reason] += 1
        except _UnusableError as error:
            found.bad[str(error)] += 1
    return found


class _UnusableError(ValueError):
    """A record that cannot be used; the message is the reason, one of a few."""


def _decoded(record: LogRecord, reader: WireReader | None) -> LogRecord:
    """Return a record in the wire format as one in JSON."""
    if reader is None:
        return record
    value = record.value
    if value is not None and reader.reads(value, record.headers):
        value = to_json(reader.value(value, record.headers), bytes_mode="base64")
    return record._replace(key=reader.key(record.key), value=value)


def _sort(record: LogRecord, pool: Pool, labels: frozenset[int], finder: FieldFinder) -> str:
    if record.value is None:
        pool.add_deletion(deleted_id(record.key), record.at_ms)
        return "deletions"
    try:
        review = parse_review(record.value, finder=finder)
    except InvalidReviewError as error:
        if error.reason == "no_text" and (gone := deleted_row_id(record.value, finder)):
            pool.add_deletion(gone, record.at_ms)
            return "deletions"
        feedback = parse_feedback(record.value) if error.reason == "no_text" else None
        if feedback is None:
            raise
        check_identifier("review_id", feedback.review_id)
        pool.add_stars(feedback.review_id, _score(feedback.score, labels), record.at_ms)
        return "stars"
    pool.add_review(_labelled(review, record), _own_score(review, labels), group(review.text))
    return "reviews"


def _labelled(review: Review, record: LogRecord) -> Labelled:
    try:
        review.text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _UnusableError("not_utf8") from error
    # The worker's own rule, so that feedback to its ratings finds the text.
    review_id = review_id_of(review, record.key, record.topic, record.partition, record.offset)
    return Labelled(review.text, 0, review_id, review.app_id or "", record.at_ms)


def _own_score(review: Review, labels: frozenset[int]) -> int | None:
    return None if review.score is None else _score(review.score, labels)


def _score(score: Any, labels: frozenset[int]) -> int:
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _UnusableError("score_not_whole")
    if abs(score) > MOST_STARS or (labels and score not in labels and score == score // 1):
        raise _UnusableError("score_not_a_label")
    if not float(score).is_integer():  # and so no NaN
        raise _UnusableError("score_not_whole")
    return int(score)


def write(path: Path, rows: Iterable[Labelled]) -> None:
    """Write the CSV that `train --data` reads, under a temporary name first, so that no reader sees half of it.

    Raises:
        DataError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in rows:
                writer.writerow((row.text, row.score, row.review_id, row.app_id, _time(row.at_ms)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"--out {path}: {error.strerror or error}; choose another") from error
    finally:
        temporary.unlink(missing_ok=True)


def _time(at_ms: int) -> str:
    """Return a record's time in ISO 8601; empty when no calendar has it: some producers send microseconds."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return ""


def _counted(rows: Iterable[Labelled], found: Collected) -> Iterator[Labelled]:
    for row in rows:
        found.stars[row.score] += 1
        found.scripts[SCRIPT_BINS[script_bin(row.text)]] += 1
        yield row


def masked(rows: Iterable[Labelled], masker: Masker) -> Iterator[Labelled]:
    """Yield rows as the file has them."""
    for row in rows:
        yield row._replace(text=masker.mask(row.text), review_id=masker.mask_id(row.review_id))


def _shares(mix: Counter[Any]) -> list[tuple[str, str, str]]:
    total = mix.total()
    ordered = sorted(mix.items()) if all(isinstance(name, int) for name in mix) else mix.most_common()
    return [(str(name), str(count), f"{count / total:.1%}") for name, count in ordered]
