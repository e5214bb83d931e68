"""`python -m tests.benchmarks.front`: the front beside others at 1, 16 and 64 clients, one table. See README.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from rich.console import Console

from deploy.kafka import LocalKafka
from deploy.page import fetch
from deploy.process import LOOPBACK, free_port
from deploy.redis import LocalRedis
from schemas.channels import CHANNELS_FILE, STABLE, parse_channels
from tests.benchmarks.arithmetic import alternated, medians
from tests.benchmarks.catalogue import PROGRAMS
from tests.benchmarks.corpus import ROOT, read_corpus
from tests.benchmarks.front.clients import Spec
from tests.benchmarks.front.servers import SERVERS, Server, start_of
from tests.benchmarks.front.table import STREAM, markdown, tables, write
from tests.benchmarks.machine import this_machine
from tests.benchmarks.processes import RowError, Watched, environment, running
from tests.benchmarks.report import rich_table
from tests.benchmarks.stack import Stack
from tests.benchmarks.throughput import Bench, throughput

CLIENTS: Final = (1, 16, 64)
_MANY: Final = 1000  # texts of the large requests
_START_S: Final = 120.0


def main() -> int:
    """Measure every server; return 0."""
    arguments = _arguments()
    console = Console(width=170)
    machine = this_machine()
    channels = parse_channels((arguments.registry / CHANNELS_FILE).read_bytes())
    bundle = (arguments.registry / channels[STABLE]).resolve()
    servers = [server for server in SERVERS if not arguments.rows or server.name in arguments.rows]
    console.print(f"{machine}\n{bundle.name}, {arguments.runs} runs of {arguments.seconds:g} s", highlight=False)
    runs: dict[str, list[dict[str, float]]] = {}
    for run in range(arguments.runs):
        for name in alternated([server.name for server in servers], run):
            server = next(server for server in servers if server.name == name)
            found = measure(server, bundle, arguments.seconds)
            runs.setdefault(name, []).append(found)
            console.print(f"{name}: {_said(found)}", highlight=False)
        if not arguments.rows:
            found = _stream(bundle, 60_000)
            runs.setdefault(STREAM, []).append(found)
            console.print(f"{STREAM}: {found['reviews_per_s']:,.0f} reviews/s", highlight=False)
    figures = {name: medians(of_runs) for name, of_runs in runs.items()}
    setting = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {machine}",
        "runs": f"{arguments.runs} of {arguments.seconds:g} s for each number of clients, medians",
        "bundle": f"{bundle.name} ({json.loads((bundle / 'manifest.json').read_bytes())['variant']})",
        "reviews": read_corpus().name,
    }
    for grid in tables(figures, CLIENTS):
        console.print(rich_table(grid))
    if arguments.write:
        write(markdown(figures, setting, CLIENTS))
    return 0


def measure(server: Server, bundle: Path, seconds: float) -> dict[str, float]:
    """Start a server, ask it with each number of clients, and end it.

    Raises:
        RowError: it did not start, or an answer was not 200.
    """
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="starstream-bench-") as folder:
        port = free_port()
        start = start_of(server, bundle, port, Path(folder))
        with running(start.command, start.variables) as watched:
            _await(f"http://{LOOPBACK}:{port}{server.ready}", watched)
            for clients in CLIENTS:
                spec = Spec(port, server.path, server.form, clients, seconds)
                figures |= {f"{name}_{clients}": value for name, value in _ask(spec, watched).items()}
            if server.many:
                spec = Spec(port, server.path, server.form, 2, seconds, texts=_MANY)
                figures["many_reviews_per_s"] = _ask(spec, watched)["requests_per_s"] * _MANY
            figures["rss_mb"] = watched.rss_mb()
    return figures


def _ask(spec: Spec, watched: Watched) -> dict[str, float]:
    before = watched.cpu_s()
    command = [sys.executable, "-m", "benchmarks.front.clients", json.dumps(asdict(spec))]
    done = subprocess.run(command, env=environment({}), capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RowError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "cpu_us": (watched.cpu_s() - before) * 1e6 / found.pop("answered")}


def _await(url: str, watched: Watched) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        watched.require_alive()
        if fetch(url)[0] == HTTPStatus.OK:
            return
        time.sleep(0.1)
    raise RowError(f"{url}: not ready in {_START_S:g} s")


def _stream(bundle: Path, reviews: int) -> dict[str, float]:
    """Return what the worker does of the stream, on this machine now."""
    program = next(program for program in PROGRAMS if program.name == "worker")
    with ExitStack() as parts:
        kafka, redis = parts.enter_context(LocalKafka()), parts.enter_context(LocalRedis())
        # The admin client of the stack goes before the broker: librdkafka may not return from its end without one.
        return throughput(Bench(Stack(kafka, redis), read_corpus(), {program.channel: bundle}, reviews), program)


def _said(found: Mapping[str, float]) -> str:
    parts = [f"{found[f'requests_per_s_{clients}']:,.0f}/s at {clients}" for clients in CLIENTS]
    return ", ".join(parts) + f", {found['cpu_us_64']:,.0f} us CPU"


def _arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.front", description=__doc__)
    parser.add_argument("--rows", nargs="+", metavar="NAME", help=f"only these: {', '.join(s.name for s in SERVERS)}")
    parser.add_argument("--runs", type=int, default=3, metavar="R", help="runs of every row, medians count (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of each number of clients (default 5)")
    parser.add_argument("--registry", type=Path, default=ROOT / "models", help="folder of bundles (default models/)")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md beside this")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
