"""`collect`: a training file from what flowed through Kafka.

Owns what each record means, and the file. `kafka_log` reads, `pool` joins, `languages` guesses. A record that cannot
be used is counted by its reason and passed over; its text goes nowhere.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.review import InvalidReviewError, Review, check_identifier, parse_review
from trainer.collect.join import Labelled, Pool, Totals
from trainer.collect.languages import language
from trainer.collect.settings import CollectSettings, start_of
from trainer.collect.topics import LogRecord, read_topics
from trainer.console import Screen, plain_table
from trainer.data.dataset import group
from trainer.errors import DataError

NOTHING = Totals(0, 0, 0, 0, 0, 0)
MOST_STARS = 1000
COLUMNS = ("content", "score", "review_id", "app_id", "at")


@dataclass(slots=True)
class Collected:
    """What a collection came to.

    Attributes:
        records: how many were read.
        kinds: reviews, stars, deletions.
        bad: unusable records by reason.
        totals: what became of the reviews.
        stars: rows written, by score.
        languages: rows written, by language as `languages` guesses.
    """

    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    totals: Totals = NOTHING
    stars: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


def collect(settings: CollectSettings, screen: Screen) -> Collected:
    """Read the topics and write the file.

    Raises:
        StreamError: Kafka cannot be read.
        DataError: too few reviews have stars, or the file cannot be written; there is no new file then.
    """
    since = start_of(settings.since, datetime.now(UTC))
    if not settings.out.absolute().parent.is_dir():
        raise DataError(f"--out {settings.out}: no such folder; make it first")
    with Pool() as pool:
        with screen.phase("read"):
            found = sort_records(read_topics(settings, since), pool, settings.labels)
        with screen.phase("join"):
            found.totals = pool.totals()
            if found.totals.written < settings.min_reviews:
                show(found, settings, screen)
                raise DataError(
                    f"{found.totals.written} reviews have stars, fewer than --min-reviews {settings.min_reviews}; "
                    f"nothing was written. Do producers send `score`, or feedback come? Look further back than "
                    f"--since {settings.since}?"
                )
            write(settings.out, _counted(pool.labelled(), found))
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
    }
    rows = [(name, str(count)) for name, count in counts.items()]
    screen.result(plain_table(f"{', '.join(settings.topic)} since {settings.since}", ("", "count"), rows))
    for title, mix in (("stars", found.stars), ("language, roughly", found.languages)):
        if mix:
            screen.result(plain_table(title, ("", "count", "share"), _shares(mix)))


def sort_records(records: Iterable[LogRecord], pool: Pool, labels: Sequence[int]) -> Collected:
    """Put every record where it belongs, and count the ones that belong nowhere."""
    found = Collected()
    for record in records:
        found.records += 1
        try:
            found.kinds[_sort(record, pool, frozenset(labels))] += 1
        except InvalidReviewError as error:
            found.bad[error.reason] += 1
        except _UnusableError as error:
            found.bad[str(error)] += 1
    return found


class _UnusableError(ValueError):
    """A record of no use; the message is the reason, one of a few."""


def _sort(record: LogRecord, pool: Pool, labels: frozenset[int]) -> str:
    key = _key(record)
    if record.value is None:
        if key is None:
            raise _UnusableError("empty")
        pool.add_deletion(key, record.at_ms)
        return "deletions"
    try:
        review = parse_review(record.value)
    except InvalidReviewError as error:
        given = _stars_alone(record.value) if error.reason == "no_text" else None
        if given is None:
            raise
        pool.add_stars(given[0], _score(given[1], labels), record.at_ms)
        return "stars"
    pool.add_review(_labelled(review, key, record), _own_score(review, labels), group(review.text))
    return "reviews"


def _labelled(review: Review, key: str | None, record: LogRecord) -> Labelled:
    try:
        review.text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _UnusableError("not_utf8") from error
    # The worker's own rule for what a review is called, so that feedback to its ratings finds the text.
    review_id = review.review_id or key or record.place
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


def _stars_alone(value: bytes) -> tuple[str, Any] | None:
    """Return the id and the stars of `{"review_id", "score"}`; None when it is something else."""
    try:
        found = json.loads(value)
    except ValueError:  # a blank text
        return None
    if not isinstance(found, dict):
        return None
    review_id = found.get("review_id", found.get("reviewId"))
    if {"text", "content"} & found.keys() or "score" not in found or not (isinstance(review_id, str) and review_id):
        return None
    check_identifier("review_id", review_id)
    return review_id, found["score"]


def _key(record: LogRecord) -> str | None:
    try:
        return record.key.decode("utf-8") if record.key else None
    except UnicodeDecodeError as error:
        raise _UnusableError("bad_identifier") from error


def write(path: Path, rows: Iterable[Labelled]) -> None:
    """Write the CSV that `train --data` reads, beside its place first, so that no reader sees half of it.

    Raises:
        DataError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in rows:
                at = datetime.fromtimestamp(row.at_ms / 1000, UTC).isoformat(timespec="seconds")
                writer.writerow((row.text, row.score, row.review_id, row.app_id, at))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise DataError(f"--out {path}: {error.strerror or error}; choose another") from error
    finally:
        beside.unlink(missing_ok=True)


def _counted(rows: Iterable[Labelled], found: Collected) -> Iterator[Labelled]:
    for row in rows:
        found.stars[row.score] += 1
        found.languages[language(row.text)] += 1
        yield row


def _shares(mix: Counter[Any]) -> list[tuple[str, str, str]]:
    total = mix.total()
    ordered = sorted(mix.items()) if all(isinstance(name, int) for name in mix) else mix.most_common()
    return [(str(name), str(count), f"{count / total:.1%}") for name, count in ordered]
