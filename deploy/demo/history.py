"""The demo's last step: two weeks of three apps, one of which drops after a version, and where that shows.

Owns the reviews, real sentences of the sample with times and versions of our own, and what is done to them: half are
rated again by the candidate, a hundred are deleted. `recount` compares every number with the topic, before and after.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from kafka import KafkaProducer
from rich.console import Console

from deploy.demo.outcome import Scrape
from deploy.demo.recount import Expected, is_recount, is_reported
from deploy.demo.reviews import held_out_by_stars
from deploy.demo.stack import AGAIN, Stack
from deploy.demo.step import step
from deploy.process import wait_until
from schemas.channels import CANDIDATE, CHANNELS_FILE, parse_channels
from worker.__main__ import main as worker
from worker.clock import iso_utc
from worker.redis.trend import DAY_S

DROPS: Final = "shop"
APPS: Final = ("notes", "player", DROPS)
RULE: Final = "StarstreamAppStarsDropped"
_DAYS: Final = 14
_RELEASED: Final = 5  # days ago
_A_DAY: Final = 15  # reviews of an app
_GONE: Final = 100
_SINCE: Final = f"{_DAYS + 1}d"
_SETTLE_S: Final = 60.0


def show_history(console: Console, stack: Stack, sample: Path) -> bool:
    """Produce the history, show what is kept of it, and return whether every number equals a recount of the topic."""
    console.rule("6. since when, and which version: two weeks of three apps")
    history = dict(reviews_of(sample, time.time()))
    what = f"sending {len(history)} reviews, written within the last {_DAYS} days; 2.0 came out {_RELEASED} days ago"
    with step(console, what):
        names = sorted(history)
        began_at = _now()
        _send(stack, {name: history[name] for name in names[::2]})
        half_at = _now()
        _send(stack, {name: history[name] for name in names[1::2]})
    good = is_recount(console, stack, Expected(APPS, _DAYS + 1, set(history))) and is_reported(console, stack, APPS)
    for by in ("version", "day"):
        _get(console, stack, by)
    again = len(names[::2]) if _rate_again(console, stack, began_at, half_at) else 0
    gone = random.Random(1).sample(names, _GONE)  # noqa: S311 - the same in each run
    with step(console, f"deleting {_GONE} of all"):
        _send(stack, dict.fromkeys(gone))
    return is_recount(console, stack, Expected(APPS, _DAYS + 1, history.keys() - gone, again)) and good


def _now() -> str:
    """Return a time that lies between what was sent and what will be, which Kafka tells apart by milliseconds."""
    time.sleep(0.005)
    now = iso_utc(time.time())
    time.sleep(0.005)
    return now


def _rate_again(console: Console, stack: Stack, start: str, end: str) -> bool:
    """Let the candidate rate again what was sent between two times, and write it over the live ratings, if that can be.

    Raises:
        RuntimeError: it did not reach the end.
    """
    if stack.api_version is not None:
        console.print("nothing is rated again: the stand-in for Kafka finds no records by their time")
        return False
    version = parse_channels((Path(stack.registry) / CHANNELS_FILE).read_bytes()).get(CANDIDATE)
    if version is None:
        console.print("nothing is rated again: there is no candidate")
        return False
    words = ["replay", "--version", version, "--from", start, "--to", end, "--topic-out", AGAIN]
    words += ["--redis-prefix", "again:", "--write-live"]
    with step(console, f"rating half of them again by the candidate: starstream-worker {' '.join(words)}"):
        environment = {**os.environ, **stack.variables, "WORKER_HTTP_PORT": "0"}
        command = [sys.executable, "-m", "worker", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the replay ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    return True


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
