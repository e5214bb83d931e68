"""`python -m deploy.demo [--keep]`: see `make demo`. Exit code 1 when a review was lost, doubled or not rated."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from kafka import KafkaProducer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.demo import reviews
from deploy.demo.outcome import Scrape, keys_on, ratings_in_redis, scrape
from deploy.demo.stack import Stack, running
from deploy.process import LocalServiceError
from schemas.bundle import CHANNELS_FILE

BUILD: Final = Path("build")
REGISTRY: Final = Path("models")
_SETTLE_S: Final = 120.0


def main() -> int:
    """Run the demo; return the exit code."""
    arguments = argparse.ArgumentParser(prog="make demo", description=__doc__)
    arguments.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    keep = arguments.parse_args().keep
    console = Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _demo(console, keep=keep)
    except (LocalServiceError, RuntimeError, subprocess.CalledProcessError) as error:
        console.print(f"demo: {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        return 130


def _demo(console: Console, *, keep: bool) -> int:
    sample = make_sample(console)
    _bundle(console, sample)
    log = Path(tempfile.gettempdir()) / "starstream-demo-worker.log"
    console.rule("3. serve")
    with running(REGISTRY.resolve(), log, console) as stack:
        good = _rate(console, stack, sample)
        if keep:
            _stay(console, stack)
    if not keep:
        console.print("Next: [bold]make demo KEEP=1[/] keeps it up; README.md shows how to produce, read and watch.")
    return 0 if good else 1


def make_sample(console: Console) -> Path:
    """Return the sample set, building it when it is not there."""
    console.rule("1. sample set")
    sample = BUILD / "sample.csv"
    if sample.exists():
        console.print(f"{sample} is there")
    else:
        BUILD.mkdir(exist_ok=True)
        trainer("sample", "--out", str(sample))
    return sample


def _bundle(console: Console, sample: Path) -> None:
    console.rule("2. train a GRU and publish it as TFLite")
    if (REGISTRY / CHANNELS_FILE).exists():
        console.print(f"{REGISTRY}/ holds a bundle; `rm -r {REGISTRY}` to train again")
        return
    trainer(
        *("train", "--data", str(sample), "--registry", str(REGISTRY)),
        *("--test-share", str(reviews.TEST_SHARE), "--seed", str(reviews.SEED)),
    )


def trainer(*words: str) -> None:
    """Run the trainer's command."""
    subprocess.run([sys.executable, "-m", "trainer", *words], check=True)


def _rate(console: Console, stack: Stack, sample: Path) -> bool:
    console.rule("4. produce, rate, read back")
    by_hand = reviews.by_hand()
    produced = [*reviews.held_out(sample), *by_hand, *reviews.poison()]
    started = time.monotonic()
    _produce(stack, produced)
    last = _watch(console, stack, len(produced))
    elapsed_s = time.monotonic() - started
    _show_stars(console, stack, [each.key.decode() for each in by_hand])
    good = _show_counts(console, stack, [each.key.decode() for each in produced], last)
    console.print(
        f"throughput {sum(last.settled.values()) / elapsed_s:,.0f} reviews/s, produced, rated and read back; "
        f"latency p50 {last.quantile_s(0.5) * 1000:.0f} ms, p99 {last.quantile_s(0.99) * 1000:.0f} ms "
        f"(broker timestamp to durable, from {stack.page}/metrics; all were produced at once)",
        highlight=False,
    )
    return good


def _produce(stack: Stack, produced: list[reviews.Produced]) -> None:
    options: dict[str, Any] = {"api_version": stack.api_version} if stack.api_version else {}
    producer = KafkaProducer(bootstrap_servers=stack.bootstrap, linger_ms=5, **options)
    for each in produced:
        producer.send("reviews", value=each.value, key=each.key)
    producer.flush()
    producer.close()


def _watch(console: Console, stack: Stack, total: int) -> Scrape:
    columns = (TextColumn("settled"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + _SETTLE_S
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("settled", total=total)
        while True:
            last = scrape(stack)
            settled = int(sum(last.settled.values()))
            progress.update(task, completed=settled)
            if settled >= total or time.monotonic() > deadline:
                return last
            time.sleep(0.1)


def _show_stars(console: Console, stack: Stack, review_ids: list[str]) -> None:
    table = Table("review", "stars", "confidence", title="read back from Redis", title_justify="left")
    found = ratings_in_redis(stack, review_ids)
    texts = {**reviews.HAND_WRITTEN, reviews.PLAIN_TEXT_KEY: f"{reviews.PLAIN_TEXT}  (plain text)"}
    for review_id in review_ids:
        rating = found.get(review_id)
        stars = "★" * rating.rating + "☆" * (5 - rating.rating) if rating else "missing"
        table.add_row(texts[review_id], stars, f"{rating.confidence:.2f}" if rating else "")
    console.print(table)


def _show_counts(console: Console, stack: Stack, produced: list[str], last: Scrape) -> bool:
    """Print the counts and return whether every review was settled once, and each where it belongs."""
    poison = {each.key.decode() for each in reviews.poison()}
    rated = Counter(keys_on(stack, "ratings"))
    dead = Counter(keys_on(stack, "reviews.dlq"))
    stored = ratings_in_redis(stack, [review_id for review_id in produced if review_id not in poison])
    whole = rated + dead == Counter(produced) and set(dead) == poison and set(stored) == set(rated)
    table = Table(
        "produced", "rated", "dead-lettered", "in Redis", "lost", "doubled", title="counts", title_justify="left"
    )
    lost = len(set(produced) - set(rated) - set(dead))
    doubled = sum(count - 1 for count in (rated + dead).values())
    counts = (len(produced), rated.total(), dead.total(), len(stored), lost, doubled)
    table.add_row(*map(str, counts))
    console.print(table)
    counted = {"rated": rated.total(), "rejected": dead.total()}
    agrees = all(last.settled.get(outcome) == count for outcome, count in counted.items())
    if not agrees:
        console.print(f"/metrics says {dict(last.settled)}", style="red")
    verdict = "[green]produced = rated + dead-lettered[/]" if whole and agrees else "[red]the counts do not add up[/]"
    console.print(verdict)
    return whole and agrees


def _stay(console: Console, stack: Stack) -> None:
    redis_port = stack.redis_url.rpartition(":")[2].partition("/")[0]
    console.rule("the stack stays up; Ctrl-C ends it")
    console.print(
        f"metrics   {stack.page}/metrics\n"
        f"produce   echo 'love it, best app ever' | kcat -b {stack.bootstrap} -P -t reviews -k my-id\n"
        f"read      redis-cli -p {redis_port} HGETALL 'rating:{{my-id}}'\n"
        f"ratings   kcat -b {stack.bootstrap} -C -t ratings -o end\n"
        f"dead      kcat -b {stack.bootstrap} -C -t reviews.dlq -e -f '%k %h\\n'",
        highlight=False,
        markup=False,
    )
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    sys.exit(main())
