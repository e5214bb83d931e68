"""`python -m deploy.demo [--keep]`: see `make demo`. Exit code 1 when a review is lost, doubled or not rated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from kafka import KafkaProducer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.demo import reviews
from deploy.demo.candidate import show_both, stars, train_candidate
from deploy.demo.history import APPS, show_history, where_it_shows
from deploy.demo.outcome import Scrape, committed, ratings_in_redis
from deploy.demo.stack import Stack, running, serving_page
from deploy.demo.step import step
from deploy.process import LocalServiceError
from schemas.channels import CHANNELS_FILE
from schemas.command_line.options import Option
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.program import run as run_program

BUILD: Final = Path("build")
REGISTRY: Final = Path("models")
LOGS: Final = Path(tempfile.gettempdir())
_SETTLE_S: Final = 120.0
_PAGE: Final = Page(
    "From an empty folder to stars in Redis: start Kafka, Redis and a worker, rate, train a candidate.",
    "  make demo\n  make demo KEEP=1    everything keeps running, with a page to try it on",
    exit_codes="  0  the counts add up    1  a review is lost, doubled or not rated    130  interrupted",
)


def main() -> int:
    """Run the demo; return the exit code."""
    keep = Option("--keep", is_flag=True, help="leave everything running until Ctrl-C")
    return run_program(Command("python -m deploy.demo", _PAGE, _run, [keep]))


def _run(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    return run("demo", lambda console: _demo(console, keep=own["keep"]))


def run(name: str, demo: Callable[[Console], bool]) -> int:
    """Run a demo and return its exit code: 0 when its counts add up, 1 when not or on an error, 130 on Ctrl-C."""
    console = Console()
    for variable in [name for name in os.environ if name.startswith("WORKER_")]:
        del os.environ[variable]  # somebody's own settings are not the demo's
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is started with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        return 0 if demo(console) else 1
    except (LocalServiceError, RuntimeError, TimeoutError, subprocess.CalledProcessError) as error:
        console.print(f"{name}: {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        return 130


def _demo(console: Console, *, keep: bool) -> bool:
    console.print(how_long(), highlight=False, soft_wrap=True)
    sample = make_sample(console)
    _publish_starter(console)
    console.rule("3. serve")
    log, variables = LOGS / f"starstream-demo-worker-{os.getpid()}.log", {"WORKER_APP_METRICS": ",".join(APPS)}
    with running(REGISTRY.resolve(), log, console, variables) as stack:
        good = _rate(console, stack, sample)
        train_candidate(console, REGISTRY, sample)
        show_both(console, REGISTRY, [*reviews.HAND_WRITTEN.values(), reviews.PLAIN_TEXT])
        good = show_history(console, stack, sample) and good
        if keep:
            _stay(console, stack)
    if not keep:
        console.print(where_it_shows("http://localhost:8080"), highlight=False, markup=False, soft_wrap=True)
        console.print("Next: [bold]make demo KEEP=1[/] keeps it running, with the page; README.md says how to use it.")
    return good


def how_long() -> str:
    """Return how long the demo takes, as measured on two cores."""
    if (REGISTRY / CHANNELS_FILE).exists():
        return "This takes less than half a minute: the models are there."
    return (
        "The first stars are there in half a minute, by the starter model; training one of your own from it takes "
        "a minute or two more. The next time all of it takes less than half a minute."
    )


def make_sample(console: Console) -> Path:
    """Return the sample set, building it when it is missing."""
    console.rule("1. sample set")
    sample = BUILD / "sample.csv"
    if sample.exists():
        console.print(f"uses {sample}")
    else:
        BUILD.mkdir(exist_ok=True)
        trainer("sample", "--out", str(sample))
    return sample


def _publish_starter(console: Console) -> None:
    console.rule("2. publish the starter, the model that comes with Starstream")
    if (REGISTRY / CHANNELS_FILE).exists():
        console.print(f"uses the bundle in {REGISTRY}/; `rm -r {REGISTRY}` to begin again")
        return
    trainer("starter", "--registry", str(REGISTRY))


def trainer(*words: str) -> None:
    """Run a command of the trainer."""
    subprocess.run([sys.executable, "-m", "trainer", *words], check=True)


def _rate(console: Console, stack: Stack, sample: Path) -> bool:
    console.rule("4. produce, rate, read back")
    by_hand = reviews.by_hand()
    produced = [*reviews.held_out(sample), *by_hand, *reviews.poison()]
    started = time.monotonic()
    with step(console, f"sending {len(produced):,} records"):
        producer = KafkaProducer(linger_ms=5, **stack.client_options)
        for record in produced:
            producer.send("reviews", value=record.value, key=record.key)
        producer.flush()
        producer.close()
    last = _wait_settled(console, stack, len(produced))
    elapsed_s = time.monotonic() - started
    _show_stars(console, stack, [record.key.decode() for record in by_hand])
    good = _show_counts(console, stack, [record.key.decode() for record in produced], last)
    console.print(
        f"throughput {last.settled / elapsed_s:,.0f} reviews/s, from producing to reading back; "
        f"latency p50 {last.latency_s(0.5) * 1000:.0f} ms, p99 {last.latency_s(0.99) * 1000:.0f} ms "
        f"(from the broker's timestamp until durable, by {stack.worker_url}/metrics; all were produced at once)",
        highlight=False,
    )
    return good


def _wait_settled(console: Console, stack: Stack, total: int) -> Scrape:
    columns = (TextColumn("settled"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    deadline = time.monotonic() + _SETTLE_S
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("settled", total=total)
        while True:
            last = Scrape(stack)
            progress.update(task, completed=last.settled)
            if last.settled >= total or time.monotonic() > deadline:
                return last
            time.sleep(0.1)


def _show_stars(console: Console, stack: Stack, review_ids: list[str]) -> None:
    table = Table("review", "stars", "confidence", title="read back from Redis", title_justify="left")
    found = ratings_in_redis(stack, review_ids)
    texts = {**reviews.HAND_WRITTEN, reviews.PLAIN_TEXT_KEY: f"{reviews.PLAIN_TEXT}  (plain text)"}
    for review_id in review_ids:
        rating = found.get(review_id)
        given = rating.rating if rating else None
        shown = "missing" if given is None else stars(given)
        table.add_row(texts[review_id], shown, f"{rating.confidence:.2f}" if rating else "")
    console.print(table)


def _show_counts(console: Console, stack: Stack, produced: list[str], last: Scrape) -> bool:
    """Print the counts; return whether every record was settled once, and in the right place."""
    poison = {record.key.decode() for record in reviews.poison()}
    with step(console, "reading the topics back"):
        rated, dead = (
            Counter(record.key.decode() for record in committed(stack, topic)) for topic in ("ratings", "reviews.dlq")
        )
    stored = ratings_in_redis(stack, [review_id for review_id in produced if review_id not in poison])
    lost = len(set(produced) - set(rated) - set(dead))
    doubled = sum(count - 1 for count in (rated + dead).values())
    names = ("produced", "rated", "dead-lettered", "in Redis", "lost", "doubled")
    table = Table(*names, title="counts", title_justify="left")
    table.add_row(*map(str, (len(produced), rated.total(), dead.total(), len(stored), lost, doubled)))
    console.print(table)
    counted = {"rated": rated.total(), "rejected": dead.total()}
    reported = {name: round(last.total("starstream_reviews_settled_total", outcome=name)) for name in counted}
    if reported != counted:
        console.print(f"/metrics reports {reported}", style="red")
    whole = rated + dead == Counter(produced) and set(dead) == poison and set(stored) == set(rated)
    good = whole and reported == counted
    console.print("[green]produced = rated + dead-lettered[/]" if good else "[red]the counts do not add up[/]")
    return good


def _stay(console: Console, stack: Stack) -> None:
    with ExitStack() as parts:
        with step(console, "starting the page"):
            log = LOGS / f"starstream-demo-serve-{os.getpid()}.log"
            page = parts.enter_context(serving_page(stack, log))
        _show(console, stack, page)
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print("stopping")


def _show(console: Console, stack: Stack, page: str) -> None:
    programs = Path(sys.executable).parent
    redis_port = stack.redis_url.rpartition(":")[2].partition("/")[0]
    console.rule("everything keeps running until Ctrl-C")
    console.print(
        f"page      {page}  (type a review, watch the ratings; REST: {page}/docs)\n"
        f"{where_it_shows(page)}\n"
        f"metrics   {stack.worker_url}/metrics\n"
        f"dead      kcat -b {stack.bootstrap} -C -t reviews.dlq -e -f '%k %h\\n'\n"
        f"ratings   kcat -b {stack.bootstrap} -C -t ratings -o end\n"
        f"read      redis-cli -p {redis_port} HGETALL 'rating:{{my-id}}'\n"
        f"produce   echo 'love it, best app ever' | kcat -b {stack.bootstrap} -P -t reviews -k my-id\n\n"
        "In another terminal, paste the next line first; then `starstream-worker status`, `... watch` and\n"
        "`... get --id my-id` find this demo:\n"
        f"export PATH={programs}:$PATH WORKER_KAFKA_BOOTSTRAP_SERVERS={stack.bootstrap}"
        f" WORKER_REDIS_URL={stack.redis_url} WORKER_REDIS_FORM=2"
        f" WORKER_HTTP_PORT={stack.worker_url.rpartition(':')[2]} WORKER_REGISTRY={stack.registry}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
