"""`get --app X --since 7d`: prints an app's trend from Redis, for people or as JSON. `get` calls it."""

from __future__ import annotations

import json
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.clock import SystemClock
from worker.errors import ExitCode, SettingsError
from worker.ops.text import printable
from worker.redis.counts import counts_of
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import TREND_BYS, Trend, TrendBy, hours_of
from worker.settings import WorkerSettings
from worker.words.period import parse_since

_BAR = 20
_MOST_LABELS = 5


def show_trend(settings: WorkerSettings, app_id: str, since: str, by: str, *, as_json: bool) -> ExitCode:
    """Print the stars of the period by day, hour or version; INPUT when there are none.

    Raises:
        ServiceError: Redis does not answer.
        SettingsError: a flag is wrong, or no trends are kept.
    """
    known: dict[str, TrendBy] = {name: name for name in TREND_BYS}
    if by not in known:
        raise SettingsError(f"--by {by}: expected {', '.join(TREND_BYS)}; others need --words")
    if not settings.keeps_trends:
        raise SettingsError(f"--since: no trends are kept: {settings.why_no_trends}")
    period = parse_since(since, SystemClock().wall())
    hours = hours_of(period.now_s, min(period.length_s, settings.trend_ttl_s))
    found = RatingsInRedis(settings).trend(app_id, hours)
    rows = found.rows(known[by])
    if as_json:
        print(json.dumps({"app_id": app_id, "since": since, **found.to_fields(known[by])}))
    elif rows:
        Console().print(_table(found, known[by]))
    if not rows:
        print(printable(f"{app_id}: no rated reviews in the last {since}"), file=sys.stderr)
    outside = counts_of(found.outside).count
    if outside:
        print(
            f"{outside} {'review is' if outside == 1 else 'reviews are'} counted apart: written outside the last "
            f"{settings.trend_ttl_s / 86_400:g} days when they were rated (WORKER_TREND_TTL_S)",
            file=sys.stderr,
        )
    return ExitCode.OK if rows else ExitCode.INPUT


def _table(found: Trend, by: TrendBy) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in (by, "reviews", "mean", ""):
        table.add_column(column, justify="right" if column in {"reviews", "mean"} else "left")
    rows = found.rows(by)
    most = max(row.counts.count for row in rows)
    for row in rows:
        counts = row.counts
        bar = "█" * max(1, round(counts.count / most * _BAR))
        mean = "" if counts.mean is None else f"{counts.mean:.2f}"
        given = ", ".join(f"{label} {count}" for label, count in Counter(counts.labels).most_common(_MOST_LABELS))
        table.add_row(
            Text(printable(row.name or "unknown")), str(counts.count), mean, f"{bar} {printable(given)}".rstrip()
        )
    return table
