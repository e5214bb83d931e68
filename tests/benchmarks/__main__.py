"""`python -m tests.benchmarks`: every row on this machine, one table. See README.md; `make bench` runs it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from rich.console import Console

from deploy.kafka import LocalKafka
from deploy.kafka.jars import kafka_version
from deploy.process import LocalServiceError
from deploy.redis import LocalRedis
from schemas.bundle import MANIFEST_FILE
from schemas.channels import CHANNELS_FILE, STABLE, parse_channels
from tests.benchmarks import sizing
from tests.benchmarks.arithmetic import alternated, medians
from tests.benchmarks.catalogue import OFFLINE, PROGRAMS, Program
from tests.benchmarks.corpus import ROOT, CorpusError, read_corpus
from tests.benchmarks.latency import Plan, latency
from tests.benchmarks.machine import this_machine
from tests.benchmarks.processes import RowError, environment
from tests.benchmarks.report import (
    Results,
    Row,
    grids,
    rich_table,
    write,
)
from tests.benchmarks.stack import Stack
from tests.benchmarks.throughput import Bench, throughput

_WIDTH: Final = 170  # of the table, also where the output is no terminal
_QUICK_REVIEWS: Final = 400
_QUICK: Final = Plan(idle_reviews=10, load_s=3.0)
_HOW: Final = "make one: starstream-trainer starter --registry {registry}, or starstream-trainer train"

ONCE: Final = {program.name for program in PROGRAMS if program.once}

Measure = Callable[[], dict[str, dict[str, float]]]


@dataclass(slots=True)
class Tally:
    """Figures of each row, a mapping a run, and what went wrong."""

    console: Console
    runs: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, measure: Measure) -> None:
        """Measure a row once; one that fails says so and is not tried again."""
        if name in self.failed:
            return
        try:
            found = measure()
        except (RowError, LocalServiceError, OSError, subprocess.SubprocessError) as error:
            self.failed[name] = str(error)
            self.console.print(f"{name}: failed: {error}", style="red", markup=False)
            return
        for row, figures in found.items():
            self.runs.setdefault(row, []).append(figures)
            rate = f"{figures['reviews_per_s']:,.0f} reviews/s, " if "reviews_per_s" in figures else ""
            p50 = figures.get("idle_topic_p50_ms")
            cost = f"{figures['cpu_us_per_review']:,.0f} us CPU" if "cpu_us_per_review" in figures else ""
            self.console.print(f"{row}: {rate}{cost}" + (f"idle p50 {p50:.1f} ms" if p50 else ""), highlight=False)

    def rate(self, name: str) -> float | None:
        """Return the median rate of a row so far."""
        return medians(self.runs.get(name, [])).get("reviews_per_s")


def main() -> int:
    """Measure what was asked for; return 1 when a row failed."""
    arguments = _arguments()
    console = Console()
    console.width = max(console.width, _WIDTH)
    machine = this_machine()
    quick = arguments.quick
    reviews = arguments.reviews or (_QUICK_REVIEWS if quick else 60_000)
    runs = arguments.runs or (1 if quick else 2)
    names = _selected(arguments.rows)
    try:
        channels = _channels(arguments.registry)
        corpus = read_corpus()
    except (RowError, CorpusError) as error:
        console.print(f"bench: {error}", style="red", markup=False)
        return 1
    missing = {program.name: program.channel for program in PROGRAMS if program.channel not in channels}
    names = [name for name in names if name not in missing]
    bundle = _said(channels)
    console.print(f"{machine}\nreviews: {corpus.name}; bundle: {bundle}; {runs} runs", highlight=False)
    for name, channel in missing.items():
        console.print(f"{name}: left out: {arguments.registry} has no channel {channel} (README.md says how)")
    tally = Tally(console)
    started = time.monotonic()
    with ExitStack() as parts:
        kafka, store = parts.enter_context(LocalKafka()), parts.enter_context(LocalRedis())
        # The admin client of the stack goes before the broker: librdkafka may not return from its end without one.
        _measure_all(Bench(Stack(kafka, store), corpus, channels, reviews), tally, names, runs, quick=quick)
    results = Results(
        machine=machine,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        setting={
            "reviews": f"{reviews:,} of {corpus.name}, fewer for the slow rows (`reviews` in results.json)",
            "runs": f"{runs}, medians",
            "bundle": bundle,
            "services": f"Kafka {kafka_version()} (one broker, 6 partitions) and Redis on the same cores",
        },
        rows=_rows(names, tally),
    )
    _show(console, results)
    console.print(f"{(time.monotonic() - started) / 60:.0f} minutes", highlight=False)
    if arguments.write:
        write(results)
        if {row.name for row in results.rows if not row.failed} >= {*sizing.ROWS.values()}:
            sizing.main(["--write"])
    return 1 if tally.failed else 0


def _measure_all(bench: Bench, tally: Tally, names: Sequence[str], runs: int, *, quick: bool) -> None:
    for run in range(runs):
        again = [name for name in names if run == 0 or name not in ONCE]
        _measure(bench, tally, alternated(again, run), _QUICK if quick else Plan())


def _measure(bench: Bench, tally: Tally, names: Sequence[str], plan: Plan | None) -> None:
    """Run each row once: first what they can do, then by `plan` how fast they answer at shares of it."""
    programs = [program for name in names for program in PROGRAMS if program.name == name]
    for program in programs:
        tally.run(program.name, lambda program=program: {program.name: throughput(bench, program)})  # type: ignore[misc]
    if any(name in OFFLINE for name in names):
        tally.run("offline", lambda: _offline(bench, names))
    if plan is None:
        return
    for program in programs:
        capacity = tally.rate(program.name)
        if (program.latency or program.rates) and capacity is not None:
            tally.run(program.name, lambda program=program, capacity=capacity: _answers(bench, program, capacity, plan))  # type: ignore[misc]


def _answers(bench: Bench, program: Program, capacity: float, plan: Plan) -> dict[str, dict[str, float]]:
    return {program.name: latency(bench, program, capacity, plan)}


def _offline(bench: Bench, names: Sequence[str]) -> dict[str, dict[str, float]]:
    job = json.dumps({"bundle": str(bench.channels[STABLE]), "reviews": bench.reviews})
    command = [sys.executable, "-m", "benchmarks.rows.offline", job]
    done = subprocess.run(command, env=environment({}), capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise RowError(done.stderr[-2000:])
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return {name: figures for name, figures in found.items() if name in names}


def _rows(names: Sequence[str], tally: Tally) -> list[Row]:
    whats = {program.name: program.what for program in PROGRAMS} | OFFLINE
    reasons = tally.failed | {name: tally.failed["offline"] for name in OFFLINE if "offline" in tally.failed}
    return [Row(name, whats[name], medians(tally.runs.get(name, [])), reasons.get(name)) for name in names]


def _show(console: Console, results: Results) -> None:
    for grid in grids(results):
        if len(grid) > 1:
            console.print(rich_table(grid))


def _channels(registry: Path) -> dict[str, Path]:
    """Return the folder of each channel's bundle; `stable` is one of them."""
    how = _HOW.format(registry=registry)
    try:
        said = parse_channels((registry / CHANNELS_FILE).read_bytes())
        channels = {name: (registry / version).resolve() for name, version in said.items()}
        return {STABLE: channels[STABLE], **channels}
    except (OSError, KeyError, ValueError) as error:
        raise RowError(f"{registry}: no stable bundle ({error}); {how}") from error


def _said(channels: Mapping[str, Path]) -> str:
    """Name the bundles that are measured, and what is multiplied in them."""
    used = {program.channel for program in PROGRAMS} & channels.keys()
    variants = {name: json.loads((channels[name] / MANIFEST_FILE).read_bytes())["variant"] for name in used}
    return "; ".join(f"{name}: {channels[name].name} ({variants[name]})" for name in sorted(used, reverse=True))


def _selected(patterns: Sequence[str] | None) -> list[str]:
    names = [*(program.name for program in PROGRAMS), *OFFLINE]
    chosen = [name for name in names if not patterns or any(fnmatch(name, pattern) for pattern in patterns)]
    if not chosen:
        raise SystemExit(f"--rows: nothing matches; there are {', '.join(names)}")
    return chosen


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--reviews", type=int, metavar="N", help="backlog of a run (default 60,000; --quick: 400)")
    parser.add_argument("--runs", type=int, metavar="R", help="runs of each rate, medians count (default 2; quick: 1)")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these rows; patterns such as 'worker*' work")
    parser.add_argument("--registry", type=Path, default=ROOT / "models", help="folder of bundles (default models/)")
    parser.add_argument("--quick", action="store_true", help="a look whether everything runs; its figures mean nothing")
    parser.add_argument("--write", action="store_true", help="put the table into README.md and results.json beside it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
