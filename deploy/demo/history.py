"""The demo's last step: two weeks of three apps, one of which drops after a version, and where that shows.

Owns the reviews, real sentences of the sample with times and versions of our own, and the recount: every number of a
trend is compared with the ratings on the topic, before and after a hundred reviews are deleted.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from kafka import KafkaProducer
from rich.console import Console

from deploy.demo.outcome import Scrape, committed
from deploy.demo.reviews import held_out_by_stars
from deploy.demo.stack import Stack
from deploy.demo.step import step
from deploy.process import wait_until
from schemas.rating import Rating
from worker.__main__ import main as worker
from worker.clock import iso_utc
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import DAY_S, TREND_BYS, TrendBy, hours_of
from worker.settings import WorkerSettings

DROPS: Final = "shop"
APPS: Final = ("notes", "player", DROPS)
RULE: Final = "StarstreamAppStarsDropped"
_DAYS: Final = 14
_RELEASED: Final = 5  # days ago
_A_DAY: Final = 15  # reviews of an app
_GONE: Final = 100
_SINCE: Final = f"{_DAYS + 1}d"
_SETTLE_S: Final = 60.0
_METRICS_S: Final = 10.0
Rows = Mapping[str, Counter[int]]  # reviews by stars, by the name of a row


def show_history(console: Console, stack: Stack, sample: Path) -> bool:
    """Produce the history, show what is kept of it, and return whether every number equals a recount of the topic."""
    console.rule("6. since when, and which version: two weeks of three apps")
    history = dict(reviews_of(sample, time.time()))
    what = f"sending {len(history)} reviews, written within the last {_DAYS} days; 2.0 came out {_RELEASED} days ago"
    with step(console, what):
        _send(stack, history)
    good = _is_recount(console, stack, set(history)) and _is_reported(console, stack)
    for by in ("version", "day"):
        _get(console, stack, by)
    gone = random.Random(1).sample(sorted(history), _GONE)  # noqa: S311 - the same in each run
    with step(console, f"deleting {_GONE} of them"):
        _send(stack, dict.fromkeys(gone))
    return _is_recount(console, stack, history.keys() - gone) and good


def reviews_of(sample: Path, now_s: float) -> Iterator[tuple[str, bytes]]:
    """Yield ids and values: four in five are praise, but few of the app that drops since its release."""
    rng = random.Random(3)  # noqa: S311 - the same in each run, but for the time
    by_stars = held_out_by_stars(sample)
    praise, blame = ([text for star in stars for text in by_stars[star]] for stars in ((5, 4), (1,)))
    for app in APPS:
        for number in range(_DAYS * _A_DAY):
            days_ago = number % _DAYS + rng.random()
            is_new = days_ago < _RELEASED
            is_praise = rng.random() < (0.15 if is_new and app == DROPS else 0.8)
            review_id = f"{app}-{number}"
            value = {
                "review_id": review_id,
                "app_id": app,
                "app_version": "2.0" if is_new else "1.0",
                "created_at": iso_utc(now_s - days_ago * DAY_S),
                "text": rng.choice(praise if is_praise else blame),
            }
            yield review_id, json.dumps(value).encode()


def _send(stack: Stack, values: Mapping[str, bytes | None]) -> None:
    """Produce records, and wait until the worker has settled them."""
    wanted = Scrape(stack).settled + len(values)
    producer = KafkaProducer(linger_ms=5, **stack.client_options)
    for review_id, value in values.items():
        producer.send("reviews", value=value, key=review_id.encode())
    producer.close()
    wait_until(lambda: Scrape(stack).settled >= wanted, _SETTLE_S, f"{len(values)} records settled")


def _is_recount(console: Console, stack: Stack, expected: set[str]) -> bool:
    """Compare each app's trend with the topic's last rating of each review that is left; print whether they agree."""
    settings = WorkerSettings(_env_file=None, redis_url=stack.redis_url, redis_form=2)
    with step(console, "counting the topic's ratings again"):
        last = {record.key.decode(): record.value for record in committed(stack, "ratings")}
    left = [Rating.from_json(value) for value in last.values() if value is not None]
    ours = [rating for rating in left if rating.app_id in APPS]
    redis, hours = RatingsInRedis(settings), hours_of(time.time(), (_DAYS + 1) * DAY_S)
    found = {app: redis.trend(app, hours) for app in APPS}
    shown = {
        (app, by): {row.name: Counter(row.counts.stars) for row in found[app].rows(by)}
        for app in APPS
        for by in TREND_BYS
    }
    counted = {(app, by): recount(ours, app, by) for app in APPS for by in TREND_BYS}
    missing = len(expected ^ {rating.review_id for rating in ours})
    if shown == counted and not missing:
        cells = sum(len(row) for rows in counted.values() for row in rows.values())
        console.print(f"[green]{cells} numbers by version, day and hour equal a recount of {len(ours)} ratings[/]")
        return True
    names = [(*of, name) for of in counted for name in {**shown[of], **counted[of]}]
    wrong = [of for of in names if shown[of[:2]].get(of[2]) != counted[of[:2]].get(of[2])]
    console.print(f"[red]{len(wrong)} rows differ from a recount of the topic, such as[/] {wrong[:3]}", highlight=False)
    console.print(f"[red]{missing} reviews are missing or left over[/]")
    return False


def _is_reported(console: Console, stack: Stack) -> bool:
    """Compare what the alert's metrics say of each app with Redis; print when they differ."""
    redis = RatingsInRedis(WorkerSettings(_env_file=None, redis_url=stack.redis_url))
    counts = {app: redis.summary(app) for app in APPS}
    wanted = {app: (found.count, found.sum) if found else (0, 0) for app, found in counts.items()}

    def reported() -> dict[str, tuple[int, int]]:
        page = Scrape(stack)
        names = ("starstream_app_ratings_total", "starstream_app_stars_total")
        return {app: (round(page.total(names[0], app_id=app)), round(page.total(names[1], app_id=app))) for app in APPS}

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


def _get(console: Console, stack: Stack, by: str) -> None:
    words = ["get", "--app", DROPS, "--since", _SINCE, "--by", by]
    console.print(f"$ starstream-worker {' '.join(words)}", highlight=False, style="bold")
    worker([*words, f"--redis-url={stack.redis_url}", "--redis-form=2"])


def where_it_shows(page: str) -> str:
    """Return where else a drop shows, for a page at this address."""
    return (
        f"chart     {page}/?app={DROPS}&by=version  (telling words: &words=version)\n"
        f"alert     {RULE} in deploy/prometheus/rules/apps.yml, of the apps in WORKER_APP_METRICS"
    )
