"""`python -m deploy.demo.refresh`: see `make demo-refresh`. Exit code 1 when a review is lost or doubled.

While a stream runs, a second model is trained on more data, passes the gate, runs in shadow, is promoted and rolled
back, by the commands a person would type. The table at the end says what the readers of the stream got.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final

from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table

from deploy.demo.__main__ import BUILD, make_sample, run, trainer
from deploy.demo.outcome import Scrape, committed
from deploy.demo.stack import Stack, running
from deploy.process import wait_until
from schemas.channels import CANDIDATE, CHANNELS_FILE, STABLE, parse_channels
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.program import run as run_program
from schemas.rating import Rating

FOLDER: Final = BUILD / "demo-refresh"
_HELD_OUT: Final = 7  # one row in so many is held out
_LAST_MONTH, _THIS_MONTH = 10, 2  # of the other rows, one in so many is trained on
_PER_S: Final = 100  # reviews a second, so that a person can watch
_ENOUGH: Final = 600  # reviews before a figure is shown
_PATIENCE_S: Final = 120.0
# One process, so that its metrics are current; it looks at the channels every second.
_VARIABLES: Final = {"WORKER_PROCESSES": "1", "WORKER_RELOAD_INTERVAL_S": "1", "WORKER_SHADOW_CHANNEL": CANDIDATE}

Row = dict[str, str]


_PAGE: Final = Page(
    "Train, gate, shadow, promote and roll back a second model while a stream runs, on this machine.",
    "  make demo-refresh",
    exit_codes="  0  the counts add up    1  a review is lost or doubled    130  interrupted",
)


def main() -> int:
    """Run it; return the exit code."""
    return run_program(
        Command("python -m deploy.demo.refresh", _PAGE, lambda _own, _settings: run("demo-refresh", _demo), [])
    )


def _demo(console: Console) -> bool:
    console.rule("1. last month's model, trained on little data")
    held_out = _split(make_sample(console))
    registry = FOLDER / f"models-{time.strftime('%Y%m%dT%H%M%S')}"
    files = ("--test-data", str(FOLDER / "held_out.csv"), "--registry", str(registry))
    common = (*files, "--no-baselines", "--epochs", "2")
    trainer("train", "--data", str(FOLDER / "last_month.csv"), *common, "--message", "last month")
    first = _channels(registry)[STABLE]
    log = Path(tempfile.gettempdir()) / "starstream-demo-refresh-worker.log"
    console.rule("2. a stream that runs until the end")
    with running(registry.resolve(), log, console, _VARIABLES) as stack, _streaming(stack, held_out) as stream:
        watch = _Watch(console, stack)
        watch.until(f"{first} has rated {_ENOUGH}", lambda page: _rated(page, first) >= _ENOUGH)
        console.rule("3. this month's model: more data, from last month's weights")
        trainer(
            *("train", "--data", str(FOLDER / "this_month.csv"), *common, "--warm-start", STABLE),
            *("--publish", "--channel", CANDIDATE, "--message", "this month"),
        )
        second = _channels(registry)[CANDIDATE]
        console.rule("4. it runs in shadow; its ratings are not published")
        watch.until(f"{second} has rated {_ENOUGH} in shadow", lambda page: _shadowed(page, second) >= _ENOUGH)
        shadow = Scrape(stack)
        console.rule("5. promoted, and rolled back")
        _move(watch, registry, ("promote", "--message", "agrees, and is better"), second)
        _move(watch, registry, ("rollback", "--message", "only to show it"), first)
        stream.stop()
        watch.until("everything is settled", lambda page: page.settled >= stream.produced)
        _show_models(console, Scrape(stack), shadow, (first, second))
        good = _show_counts(console, stack, stream.produced, {first, second})
    trainer("history", "--registry", str(registry))
    return good


def _move(watch: _Watch, registry: Path, words: tuple[str, ...], version: str) -> None:
    """Move the channel, and wait until that version has rated some reviews of the stream."""
    before = _rated(Scrape(watch.stack), version)
    trainer(words[0], "--registry", str(registry), *words[1:])
    moved = time.monotonic()
    watch.until(f"{version} rates", lambda page: _rated(page, version) > before)
    watch.console.print(f"{words[0]}: its first rating {time.monotonic() - moved:.1f} s later", highlight=False)
    watch.until(f"{version} has rated {_ENOUGH} more", lambda page: _rated(page, version) >= before + _ENOUGH)


def _split(sample: Path) -> list[Row]:
    """Write the training set of each model and the held-out set; return the rows of the latter."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sample.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    held_out = rows[::_HELD_OUT]
    rest = [row for number, row in enumerate(rows) if number % _HELD_OUT]
    for name, some in (
        ("held_out", held_out),
        ("last_month", rest[::_LAST_MONTH]),
        ("this_month", rest[::_THIS_MONTH]),
    ):
        with (FOLDER / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=["content", "score"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(some)
    return held_out


def _channels(registry: Path) -> dict[str, str]:
    return parse_channels((registry / CHANNELS_FILE).read_bytes())


@dataclass(slots=True)
class _Stream:
    """Held-out reviews with their authors' stars, repeated under new ids."""

    stack: Stack
    rows: list[Row]
    produced: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        producer = KafkaProducer(linger_ms=5, **self.stack.client_options)
        began = time.monotonic()
        for row in cycle(self.rows):
            late_s = began + self.produced / _PER_S - time.monotonic()
            if self._ended.wait(max(0.0, late_s)):
                break
            review_id = f"live-{self.produced}"
            value = {"review_id": review_id, "text": row["content"], "score": int(row["score"])}
            producer.send("reviews", value=json.dumps(value).encode(), key=review_id.encode())
            self.produced += 1
        producer.flush()
        producer.close()


@contextmanager
def _streaming(stack: Stack, rows: list[Row]) -> Iterator[_Stream]:
    stream = _Stream(stack, rows)
    stream.start()
    try:
        yield stream
    finally:
        stream.stop()


def _rated(page: Scrape, version: str) -> int:
    return round(page.total("starstream_ratings_total", model_version=version))


def _shadowed(page: Scrape, version: str) -> int:
    return round(page.total("starstream_shadow_reviews_total", model_version=version))


@dataclass(frozen=True, slots=True)
class _Watch:
    console: Console
    stack: Stack

    def until(self, what: str, holds: Callable[[Scrape], bool]) -> None:
        with self.console.status(f"waiting: {what}"):
            wait_until(lambda: holds(Scrape(self.stack)), _PATIENCE_S, what)
        self.console.print(what, highlight=False)


def _show_models(console: Console, page: Scrape, shadow: Scrape, versions: tuple[str, str]) -> None:
    table = Table(
        *("", "ratings", "accuracy", "off by, stars", "in shadow: same stars"),
        title="what the readers of the stream got", title_justify="left",
    )  # fmt: skip
    for name, version in zip(("last month's", "this month's"), versions, strict=True):
        console.print(f"{name:>13}  {version}", highlight=False)
        known = page.total("starstream_feedback_reviews_total", model_version=version) or float("nan")
        accuracy = page.total("starstream_feedback_correct_total", model_version=version) / known
        error = page.total("starstream_feedback_error_stars_total", model_version=version) / known
        agreed, reviews = (
            shadow.total(f"starstream_shadow_{count}_total", model_version=version) for count in ("agreed", "reviews")
        )
        same = f"{agreed / reviews:.1%} of {reviews:.0f}" if reviews else ""
        table.add_row(name, str(_rated(page, version)), f"{accuracy:.3f}", f"{error:.3f}", same)
    console.print(table)


def _show_counts(console: Console, stack: Stack, produced: int, versions: set[str]) -> bool:
    """Print the counts; return whether every review was rated once, by one of the two versions."""
    ratings = committed(stack, "ratings")
    times = Counter(record.key for record in ratings)
    lost, doubled = produced - len(times), sum(1 for count in times.values() if count > 1)
    console.print(f"produced {produced}, rated {len(times)}, lost {lost}, doubled {doubled}", highlight=False)
    known = {Rating.from_json(record.value).model_version for record in ratings} <= versions
    good = lost == 0 and doubled == 0 and known
    console.print("[green]no review was lost or doubled by a change of models[/]" if good else "[red]wrong[/]")
    return good


if __name__ == "__main__":
    sys.exit(main())
