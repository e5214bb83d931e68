"""`watch`: prints the ratings as they are committed, for people or as JSON lines.

Owns the filters and the look of a line. Reads the ratings topic without a group, so workers and their lag are not
affected; with `--with-text` also the review that each rating names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Final

from rich.console import Console
from rich.text import Text

from schemas.rating import Rating
from worker.clock import SystemClock
from worker.commands.review_texts import ReviewTexts
from worker.errors import ExitCode, SettingsError
from worker.kafka.python.topics import Topics
from worker.kafka.ratings_reader import RatingsReader
from worker.ops.signals import StopSignals
from worker.ops.text import printable
from worker.records import Record
from worker.settings import WorkerSettings

_MOST_TEXT: Final = 200


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Print ratings until stopped.

    Raises:
        WorkerError: there is no such topic, or the brokers do not answer.
    """
    for name, value in {"last": known.last, "count": known.count}.items():
        if value < 0:
            raise SettingsError(f"--{name} {value}: expected 0 or more")
    console = Console(soft_wrap=True, highlight=False)
    shown = 0
    with StopSignals(settings.drain_deadline_s) as stop, ExitStack() as stack:
        topics = stack.enter_context(closing(Topics(settings, SystemClock())))
        texts = stack.enter_context(closing(ReviewTexts(settings))) if known.with_text else None
        topics.require([settings.output_topic], "WORKER_OUTPUT_TOPIC")
        ratings = RatingsReader(settings)
        for record in _records(topics, settings.output_topic, known.last, stop):
            rating = ratings.read(record)
            if rating is None or not _is_wanted(rating, known):
                continue
            if known.json:
                as_it_is = settings.output_format == "json" and record.value
                print((as_it_is or rating.to_json()).decode(), flush=True)
            else:
                console.print(_line(rating, _text_of(rating, texts) if texts else None))
            shown += 1
            if shown == known.count:
                break
    return ExitCode.OK


def _records(topics: Topics, topic: str, last: int, stop: StopSignals) -> Iterator[Record]:
    for record in topics.follow(topic, last):
        if stop.asked:
            return
        if record is not None:
            yield record


def _is_wanted(rating: Rating, known: SimpleNamespace) -> bool:
    return (
        (known.app is None or rating.app_id == known.app)
        and (known.max_stars is None or (rating.rating is not None and rating.rating <= known.max_stars))
        and (known.label is None or known.label in (rating.labels or {}))
        and (rating.uncertain or not known.uncertain)
        and (bool(rating.mismatch) or not known.mismatch)
    )


def _line(rating: Rating, text: str | None) -> Text:
    said, colour = _said(rating)
    line = Text(f"{said} {rating.confidence:4.0%}{'?' if rating.uncertain else ' '} ")
    line.stylize(colour, 0, len(said))
    line.append(printable(rating.review_id))
    if rating.app_id:
        line.append(f"  {printable(rating.app_id)}", style="dim")
    if rating.mismatch:
        line.append(f"  the author gave {rating.author_score:g}", style="magenta")
    if rating.reasons:
        line.append(f"  {printable(', '.join(rating.reasons))}", style="dim italic")
    if text is not None:
        line.append(f"  {printable(text)[:_MOST_TEXT]}")
    return line


def _said(rating: Rating) -> tuple[str, str]:
    """Return stars or labels as a line has them, and their colour."""
    stars = rating.rating
    if stars is None:
        return ", ".join(f"{name} {share:.0%}" for name, share in (rating.labels or {}).items()) or "none", "cyan"
    drawn = "★" * stars + "☆" * (5 - stars) if 1 <= stars <= 5 else str(stars)
    return drawn, "red" if stars <= 2 else "green" if stars >= 4 else "yellow"


def _text_of(rating: Rating, texts: ReviewTexts) -> str:
    found = texts.find(rating.source)
    return f"({found})" if isinstance(found, str) else found.text
