"""`python -m deploy.demo.refresh`: see `make demo-refresh`. Exit code 1 when a review was lost, doubled, or torn.

A stream runs all the time. A second model is trained on more data, passes the gate, rates beside the first, is promoted
and taken back, by the commands a person would type; the table at the end says what the readers of the stream saw.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
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
from typing import Any, Final

from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from deploy.demo.__main__ import BUILD, make_sample, trainer
from deploy.demo.outcome import versions_by_key
from deploy.demo.stack import Stack, running
from deploy.process import LocalServiceError, wait_until
from schemas.bundle import CHANNELS_FILE, STABLE
from trainer.settings import CANDIDATE

FOLDER: Final = BUILD / "demo-refresh"
_HELD_OUT: Final = 7  # one row in so many is held out
_LAST_MONTH, _THIS_MONTH = 10, 2  # and of the rest, one in so many is learned from
_PER_S: Final = 100  # reviews a second, so that a person can watch
_SEEN: Final = 600  # reviews before a figure is shown
_PATIENCE_S: Final = 120.0
# One process, so that the figures on the page are of this very moment; a quick look at the channels.
_VARIABLES: Final = {"WORKER_PROCESSES": "1", "WORKER_RELOAD_INTERVAL_S": "1", "WORKER_SHADOW_CHANNEL": CANDIDATE}

Row = dict[str, str]


def main() -> int:
    """Run it; return the exit code."""
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _demo(console)
    except (LocalServiceError, RuntimeError, TimeoutError, subprocess.CalledProcessError) as error:
        console.print(f"demo-refresh: {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        return 130


def _demo(console: Console) -> int:
    console.rule("1. last month's model, of little data")
    held_out = _split(make_sample(console))
    registry = FOLDER / f"models-{time.strftime('%Y%m%dT%H%M%S')}"
    learn = ("--test-data", str(FOLDER / "held_out.csv"), "--registry", str(registry), "--no-floors")
    trainer("train", "--data", str(FOLDER / "last_month.csv"), *learn, "--epochs", "2", "--message", "last month")
    first = _channels(registry)[STABLE]
    log = Path(tempfile.gettempdir()) / "starstream-demo-refresh-worker.log"
    console.rule("2. a stream that never stops")
    with running(registry.resolve(), log, console, _VARIABLES) as stack, _streaming(stack, held_out) as stream:
        watch = _Watch(console, stack)
        watch.until(f"{first} has rated {_SEEN}", lambda page: page.rated(first) >= _SEEN)
        console.rule("3. this month's model: more data, from where the last one stood")
        trainer(
            *("train", "--data", str(FOLDER / "this_month.csv"), *learn, "--epochs", "2", "--warm-start", STABLE),
            *("--publish", "--channel", CANDIDATE, "--message", "this month"),
        )
        second = _channels(registry)[CANDIDATE]
        console.rule("4. it rates beside the other; nobody sees its ratings")
        watch.until(f"{second} has rated {_SEEN} beside", lambda page: page.beside(second) >= _SEEN)
        shadow = watch.page()
        console.rule("5. promoted, and taken back")
        _move(watch, registry, ("promote", "--message", "agrees, and is better"), second)
        _move(watch, registry, ("rollback", "--message", "only to show it"), first)
        stream.stop()
        watch.until("all is settled", lambda page: page.settled >= stream.produced)
        good = _show(console, stack, stream.produced, watch.page(), shadow, (first, second))
    trainer("history", "--registry", str(registry))
    return 0 if good else 1


def _move(watch: _Watch, registry: Path, words: tuple[str, ...], version: str) -> None:
    """Move the channel and wait until the stream's ratings are of that version, and then a while."""
    before = watch.page().rated(version)
    trainer(words[0], "--registry", str(registry), *words[1:])
    told = time.monotonic()
    watch.until(f"{version} rates", lambda page: page.rated(version) > before)
    watch.console.print(f"{words[0]}: its first rating {time.monotonic() - told:.1f} s later", highlight=False)
    goal = watch.page().rated(version) + _SEEN
    watch.until(f"{version} has rated {_SEEN} more", lambda page: page.rated(version) >= goal)


def _split(sample: Path) -> list[Row]:
    """Write what each model learns from and what judges them; return the latter."""
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
    found: dict[str, str] = json.loads((registry / CHANNELS_FILE).read_bytes())
    return found


@dataclass(slots=True)
class _Stream:
    """Held-out reviews with their authors' stars, over and over, each time under new ids."""

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
        options: dict[str, Any] = {"api_version": self.stack.api_version} if self.stack.api_version else {}
        producer = KafkaProducer(bootstrap_servers=self.stack.bootstrap, linger_ms=5, **options)
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


class _Page:
    """One reading of /metrics."""

    def __init__(self, text: str) -> None:
        self._samples = [each for family in text_string_to_metric_families(text) for each in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series with these labels."""
        return sum(each.value for each in self._samples if each.name == name and labels.items() <= each.labels.items())

    @property
    def settled(self) -> int:
        return round(self.total("starstream_reviews_settled_total"))

    def rated(self, version: str) -> int:
        return round(self.total("starstream_ratings_total", model_version=version))

    def beside(self, version: str) -> int:
        return round(self.total("starstream_shadow_reviews_total", model_version=version))

    def of_its_reviews(self, name: str, version: str) -> float:
        """Return a counter's share of the reviews whose authors' stars are known."""
        known = self.total("starstream_feedback_reviews_total", model_version=version)
        return self.total(name, model_version=version) / known if known else float("nan")


@dataclass(frozen=True, slots=True)
class _Watch:
    console: Console
    stack: Stack

    def page(self) -> _Page:
        return _Page(self.stack.fetch("/metrics"))

    def until(self, what: str, holds: Callable[[_Page], bool]) -> None:
        with self.console.status(f"waiting: {what}"):
            wait_until(lambda: holds(self.page()), _PATIENCE_S, what)
        self.console.print(what, highlight=False)


def _show(console: Console, stack: Stack, produced: int, page: _Page, shadow: _Page, versions: tuple[str, str]) -> bool:
    first, second = versions
    table = Table(
        *("", "ratings", "accuracy", "off by, stars", "beside: same stars"),
        title="what the stream's readers got", title_justify="left",
    )  # fmt: skip
    beside = shadow.beside(second)
    agreed = shadow.total("starstream_shadow_agreed_total", model_version=second)
    for version, name, same in (
        (first, "last month's", ""),
        (second, "this month's", f"{agreed / beside:.1%} of {beside}" if beside else ""),
    ):
        accuracy = page.of_its_reviews("starstream_feedback_correct_total", version)
        error = page.of_its_reviews("starstream_feedback_error_stars_total", version)
        console.print(f"{name:>13}  {version}", highlight=False)
        table.add_row(name, str(page.rated(version)), f"{accuracy:.3f}", f"{error:.3f}", same)
    console.print(table)
    found = versions_by_key(stack, "ratings")
    once = Counter(len(each) for each in found.values())
    known = {version for each in found.values() for version in each} <= set(versions)
    lost, doubled = produced - len(found), sum(count for times, count in once.items() if times > 1)
    console.print(f"produced {produced}, rated once {once[1]}, lost {lost}, doubled {doubled}", highlight=False)
    good = lost == 0 and doubled == 0 and known
    console.print("[green]not one review waited for a model, or was lost for it[/]" if good else "[red]wrong[/]")
    return good


if __name__ == "__main__":
    sys.exit(main())
