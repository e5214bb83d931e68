"""`get`: prints a rating or an app's summary from Redis, for people or as JSON.

Owns the look of both. `worker.redis.ratings` reads them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.rating import Rating
from worker.errors import ExitCode, SettingsError
from worker.ops.text import printable
from worker.redis.ratings import RatingsInRedis, Summary
from worker.settings import WorkerSettings

_BAR: Final = 20


def run(settings: WorkerSettings, known: argparse.Namespace) -> ExitCode:
    """Print what was asked for; INPUT when there is none.

    Raises:
        ServiceError: Redis does not answer.
        SettingsError: summaries are switched off.
    """
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


def _rating_table(rating: Rating) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    sure = f"{rating.confidence:.0%} sure" + (", uncertain" if rating.uncertain else "")
    table.add_row("rating", f"{rating.rating}  ({sure}; {rating.expected_rating:.2f} expected)")
    for label, share in enumerate(rating.probabilities, start=1):
        table.add_row(f"  {label}" if len(rating.probabilities) == 5 else f"  #{label}", _bar(share))
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


def _summary_table(app_id: str, summary: Summary) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("app", Text(printable(app_id)))
    table.add_row("reviews", str(summary.count))
    table.add_row("mean", f"{summary.mean:.2f}")
    for label, count in sorted(summary.stars.items(), reverse=True):
        table.add_row(f"  {label}", f"{_bar(count / summary.count)} {count}")
    return table


def _bar(share: float) -> str:
    return f"{'█' * round(share * _BAR):<{_BAR}} {share:4.0%}"
