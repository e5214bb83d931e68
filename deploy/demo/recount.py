"""The demo's trends beside the topic: every number by version, day and hour is counted again from the ratings.

Owns the comparison. `history` says when.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Console

from deploy.demo.outcome import Scrape, committed
from deploy.demo.stack import AGAIN, Stack
from deploy.demo.step import step
from deploy.process import wait_until
from schemas.rating import Rating
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import DAY_S, TREND_BYS, TrendBy, hours_of
from worker.settings import WorkerSettings

_METRICS_S: Final = 10.0
Rows = Mapping[str, Counter[int]]  # reviews by stars, by the name of a row


@dataclass(frozen=True, slots=True)
class Expected:
    """What the topics are to have: the reviews of these apps within so many days, and how many a replay rated again."""

    apps: Sequence[str]
    days: int
    reviews: Set[str]
    again: int = 0


def is_recount(console: Console, stack: Stack, expected: Expected) -> bool:
    """Compare each app's trend with the topic's last rating of each review that is left; print whether they agree.

    A rating that a replay has written over the live one counts as the replay gave it.
    """
    settings = WorkerSettings(_env_file=None, redis_url=stack.redis_url, redis_form=2)
    with step(console, "counting the topic's ratings again"):
        last = {record.key: record.value for record in committed(stack, "ratings")}
        again = {record.key: record.value for record in committed(stack, AGAIN)}
    left = [Rating.from_json(again.get(key) or value) for key, value in last.items() if value is not None]
    ours = [rating for rating in left if rating.app_id in expected.apps]
    redis, hours = RatingsInRedis(settings), hours_of(time.time(), expected.days * DAY_S)
    found = {app: redis.trend(app, hours) for app in expected.apps}
    shown = {
        (app, by): {row.name: Counter(row.counts.stars) for row in found[app].rows(by)}
        for app in expected.apps
        for by in TREND_BYS
    }
    counted = {(app, by): recount(ours, app, by) for app in expected.apps for by in TREND_BYS}
    missing = len(expected.reviews ^ {rating.review_id for rating in ours}) + abs(expected.again - len(again))
    if shown == counted and not missing:
        others = sum(rating.review_id.encode() in again for rating in ours)
        of_them = f", {others} of them the candidate's" if others else ""
        cells = sum(len(row) for rows in counted.values() for row in rows.values())
        console.print(
            f"[green]{cells} numbers by version, day and hour equal a recount of {len(ours)} ratings{of_them}[/]"
        )
        return True
    names = [(*of, name) for of in counted for name in {**shown[of], **counted[of]}]
    wrong = [of for of in names if shown[of[:2]].get(of[2]) != counted[of[:2]].get(of[2])]
    console.print(f"[red]{len(wrong)} rows differ from a recount of the topic, such as[/] {wrong[:3]}", highlight=False)
    console.print(f"[red]{missing} reviews are missing or left over[/]")
    return False


def is_reported(console: Console, stack: Stack, apps: Sequence[str]) -> bool:
    """Compare what the alert's metrics say of each app with Redis; print when they differ."""
    redis = RatingsInRedis(WorkerSettings(_env_file=None, redis_url=stack.redis_url))
    counts = {app: redis.summary(app) for app in apps}
    wanted = {app: (found.count, found.sum) if found else (0, 0) for app, found in counts.items()}

    def reported() -> dict[str, tuple[int, int]]:
        page = Scrape(stack)
        names = ("starstream_app_ratings_total", "starstream_app_stars_total")
        return {app: (round(page.total(names[0], app_id=app)), round(page.total(names[1], app_id=app))) for app in apps}

    try:
        wait_until(lambda: reported() == wanted, _METRICS_S, "the apps' metrics")  # counted after the commit
    except TimeoutError:
        console.print(f"[red]/metrics reports[/] {reported()}, Redis has {wanted}", highlight=False)
        return False
    return True


def recount(rated: Sequence[Rating], app: str, by: TrendBy) -> Rows:
    """Count an app's ratings by stars, in the rows that a trend has."""
    rows: dict[str, Counter[int]] = {}
    for rating in rated:
        if rating.app_id == app and rating.rating is not None:
            written = datetime.fromisoformat(rating.created_at or "").astimezone(UTC)
            names = {"day": f"{written:%Y-%m-%d}", "hour": f"{written:%Y-%m-%dT%H:00Z}", "version": rating.app_version}
            rows.setdefault(names[by] or "", Counter())[rating.rating] += 1
    return rows
