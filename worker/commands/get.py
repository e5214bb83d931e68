"""`get`: prints a rating or an app's summary from Redis, for people or as JSON.

Owns the look of both. `worker.redis.ratings` reads them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.personal.mask import Masker
from schemas.prediction import Prediction
from schemas.rating import Rating
from worker.clock import SystemClock
from worker.commands.trend import show_trend
from worker.errors import ExitCode, SettingsError
from worker.ops.text import printable
from worker.redis.counts import Counts
from worker.redis.ratings import RatingsInRedis
from worker.settings import WorkerSettings
from worker.words.period import BYS, parse_since

if TYPE_CHECKING:
    from worker.words.report import Telling  # loads Kafka's client

_BAR: Final = 20


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Print what was asked for; INPUT when there is none.

    Raises:
        ServiceError: Redis does not answer.
        SettingsError: neither or both were named, or summaries are switched off.
    """
    if (known.id is None) == (known.app is None):
        raise SettingsError("get: takes a review's id or --app, and not both; for example: starstream-worker get r-1")
    if known.words:
        return _show_words(settings, known)
    if known.app is not None and (known.since or known.by):
        return show_trend(settings, known.app, known.since or "7d", known.by or "day", as_json=known.json)
    ratings = RatingsInRedis(settings)
    if known.app is not None and not settings.redis_summary:
        raise SettingsError("--app: WORKER_REDIS_SUMMARY is false: no summaries are kept")
    found = ratings.summary(known.app) if known.app is not None else ratings.rating(known.id)
    if found is None:
        kept = f"kept for {settings.redis_ttl_s / 86_400:g} days" if settings.redis_ttl_s else "kept indefinitely"
        why = f"not rated yet, deleted, or too old: ratings are {kept} (WORKER_REDIS_TTL_S)"
        missing = f"{known.app}: no rated reviews" if known.app is not None else f"{known.id}: no rating: {why}"
        print(printable(missing), file=sys.stderr)
        return ExitCode.INPUT
    if known.json:
        print(
            found.to_json().decode()
            if isinstance(found, Rating)
            else json.dumps({"app_id": known.app, **found.to_fields()})
        )
        return ExitCode.OK
    Console().print(_rating_table(found) if isinstance(found, Rating) else _summary_table(known.app, found))
    return ExitCode.OK


def decided(said: Prediction, sure: str) -> Iterator[tuple[str, str]]:
    """Yield what was decided and the probabilities, as rows for people."""
    if said.labels is not None:
        yield "labels", ", ".join(said.labels) + f"  ({sure})" if said.labels else f"none  ({sure})"
        for name, share in said.labels.items():
            yield f"  {name}", _bar(share)
        return
    yield "rating", f"{said.rating}  ({sure}; {said.expected_rating:.2f} expected)"
    for number, share in enumerate(said.probabilities, start=1):
        yield f"  {number}" if len(said.probabilities) == 5 else f"  #{number}", _bar(share)
    highest = max(said.probabilities)
    if len(said.probabilities) == 5 and highest > said.confidence:
        likeliest = said.probabilities.index(highest) + 1
        yield "", f"{likeliest} is the likeliest; {said.rating} has the least expected cost (README.md)"


def _rating_table(rating: Rating) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    sure = f"{rating.confidence:.0%} sure" + (", uncertain" if rating.uncertain else "")
    for name, value in decided(rating, sure):
        table.add_row(name, value)
    if rating.author_score is not None:
        contradicts = ", which contradicts the text" if rating.mismatch else ""
        table.add_row("author", f"{rating.author_score:g}{contradicts}")
    if rating.reasons:
        table.add_row("reasons", Text(printable(", ".join(rating.reasons))))
    for name in ("review_id", "app_id", "model_version", "rated_at"):
        value = getattr(rating, name)
        if value is not None:
            table.add_row(name, Text(printable(value)))
    table.add_row("read at", Text("{topic}-{partition}@{offset}".format(**asdict(rating.source))))
    return table


def _summary_table(app_id: str, summary: Counts) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("app", Text(printable(app_id)))
    table.add_row("reviews", str(summary.count))
    if summary.mean is not None:
        table.add_row("mean", f"{summary.mean:.2f}")
    for star, count in sorted(summary.stars.items(), reverse=True):
        table.add_row(f"  {star}", f"{_bar(count / summary.count)} {count}")
    for label, count in sorted(summary.labels.items(), key=lambda item: -item[1]):
        table.add_row(f"  {label}", f"{_bar(count / summary.count)} {count}")
    return table


def _show_words(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    from worker.words.report import Question, telling_words  # loads Kafka's client

    by = known.by or "star"
    if known.app is None or by not in BYS:
        raise SettingsError(f"--words: expected --app, and --by one of {', '.join(BYS)}")
    since = known.since or "7d"
    clock, masker = SystemClock(), Masker(keep=known.keep_personal_data)
    question = Question(known.app, parse_since(since, clock.wall()), by)
    found = telling_words(settings, clock, question, masker)
    if known.json:
        print(json.dumps(found.to_fields(), ensure_ascii=False))
    elif found.now.reviews:
        Console().print(_words_table(found))
    if not found.now.reviews:
        print(printable(f"{known.app}: no rated reviews in the last {since}"), file=sys.stderr)
    if found.one_in > 1:
        print(f"a sample: 1 in {found.one_in} reviews", file=sys.stderr)
    if found.without_text:
        print(f"{found.without_text} reviews have no text in the input topic any more", file=sys.stderr)
    if masker.summary():
        print(f"masked: {masker.summary()}; --keep-personal-data shows it", file=sys.stderr)
    return ExitCode.OK if found.now.reviews else ExitCode.INPUT


def _words_table(found: Telling) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in (found.by, "reviews", "words (reviews with them, and in the time before)"):
        table.add_column(column)
    for name, means in (("now", found.now), ("before", found.before)):
        said = [f"mean {means.rated:.2f} by the texts" if means.rated is not None else "no reviews"]
        if means.authors is not None:
            said += [f"{means.authors:.2f} by the authors", f"{means.mismatches} contradictions"]
        table.add_row(name, str(means.reviews), ", ".join(said))
    for group, (reviews, words) in found.groups.items():
        named = ", ".join(f"{printable(word.word)} ({word.reviews}, {word.before})" for word in words)
        table.add_row(Text(printable(group)), str(reviews), Text(named or "-"))
    return table


def _bar(share: float) -> str:
    return f"{'█' * round(share * _BAR):<{_BAR}} {share:4.0%}"
