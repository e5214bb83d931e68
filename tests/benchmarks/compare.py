"""`python -m tests.benchmarks.compare`: has the worker become slower than it was when cpu_ratios.json was written?

What is compared is the worker's CPU a review over that of its bare client, measured in the same run right before or
after it: machines and nights differ less in it than in any rate. Each row is measured several times, the rows by turns,
and a change is one that is larger than the spread of the runs, then and now. It rates the sample set with the starter,
which every machine has; another starter, or another number of reviews, is another measurement.

Exit codes: 0 no row costs more than before, 1 one does, 2 a row could not be measured or has nothing to be compared
with. `--write` keeps what was measured in cpu_ratios.json, to compare with from then on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from rich.console import Console

from deploy.kafka import LocalKafka
from deploy.kafka.jars import cache_dir
from deploy.process import LocalServiceError
from deploy.redis import LocalRedis
from schemas.channels import STABLE
from schemas.starter import starter_version
from tests.benchmarks.arithmetic import alternated
from tests.benchmarks.catalogue import PROGRAMS
from tests.benchmarks.corpus import ROOT, Corpus
from tests.benchmarks.machine import this_machine
from tests.benchmarks.processes import RowError
from tests.benchmarks.report import rich_table
from tests.benchmarks.stack import Stack
from tests.benchmarks.throughput import Bench, throughput
from trainer.data.sample import write_sample
from trainer.errors import SampleError

FILE: Final = Path(__file__).with_name("cpu_ratios.json")
# Row of the worker -> the bare client that it is held against.
BARE: Final = {
    "worker": "bare_exactly_once",
    "worker_at_least_once": "bare_at_least_once",
    "worker_confluent": "bare_confluent_exactly_once",
    "worker_confluent_at_least_once": "bare_confluent_at_least_once",
}
_RUNS: Final = 5
_REVIEWS: Final = 60_000
_FAILED: Final = 2


@dataclass(frozen=True, slots=True)
class Ratios:
    """One row's CPU over its bare client's, a value a run."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """How far the runs lie apart."""
        return max(self.values) - min(self.values)

    def __str__(self) -> str:
        return f"{self.middle:.3f} ({min(self.values):.3f} to {max(self.values):.3f})"


def change(then: Ratios, now: Ratios) -> float:
    """Return by what share the median has grown, or 0 where that lies within the larger spread of the two."""
    grown = now.middle - then.middle
    return grown / then.middle if abs(grown) > max(then.spread, now.spread) else 0.0


def grid(then: Mapping[str, Ratios], now: Mapping[str, Ratios]) -> list[list[str]]:
    """Return heading and rows: the medians with their spreads, and what has changed."""
    lines = [["CPU of the worker over its bare client's", "over", "then", "now", "change"]]
    for row, measured in now.items():
        if row not in then:
            lines.append([row, BARE[row], "", str(measured), "not measured before"])
            continue
        grown = change(then[row], measured)
        said = f"{grown:+.1%}: {'costs more' if grown > 0 else 'costs less'}" if grown else "within the spread"
        lines.append([row, BARE[row], str(then[row]), str(measured), said])
    return lines


class Kept(NamedTuple):
    """What was written: when and on what machine, what was rated, and each row's ratios."""

    where: str
    setting: str
    rows: dict[str, Ratios]


def read(path: Path) -> Kept:
    """Return what was written; no rows of a file that is not there."""
    if not path.exists():
        return Kept("never", "nothing", {})
    said = json.loads(path.read_text(encoding="utf-8"))
    where = f"{said['measured_at']} on {said['machine']['cpu']}, {said['machine']['cores']} cores"
    return Kept(where, said["setting"], {row: Ratios(tuple(values)) for row, values in said["rows"].items()})


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print what has changed, and with `--write` keep it."""
    arguments = _arguments(words)
    console = Console(width=170)
    rows = arguments.rows or list(BARE)
    machine = this_machine()
    setting = f"{arguments.reviews:,} sentences of the sample set, starter {starter_version()}"
    kept = read(arguments.file)
    console.print(f"then: {kept.where}; {kept.setting}\nnow: {machine}; {setting}", highlight=False)
    then = kept.rows if kept.setting == setting else {}
    if kept.rows and not then and not arguments.write:
        console.print("compare: what was kept is of something else; --write measures and keeps this", style="red")
        return _FAILED
    try:
        now = _measured(rows, arguments.runs, arguments.reviews, console)
    except (RowError, SampleError, LocalServiceError, OSError, subprocess.SubprocessError) as error:
        console.print(f"compare: {error}", style="red", markup=False)
        return _FAILED
    console.print(rich_table(grid(then, now)))
    if arguments.write:
        _write(arguments.file, {**then, **now}, asdict(machine), setting)
    elif unknown := sorted(now.keys() - then.keys()):
        console.print(f"compare: {arguments.file} has nothing of {', '.join(unknown)}; --write keeps what was measured")
    return verdict(then, now, kept=arguments.write)


def verdict(then: Mapping[str, Ratios], now: Mapping[str, Ratios], *, kept: bool) -> int:
    """Return the exit code; a night that has compared nothing must not look like one in which nothing changed."""
    if any(change(then[row], now[row]) > 0 for row in now if row in then):
        return 1
    return 0 if kept or now.keys() <= then.keys() else _FAILED


def _measured(rows: Sequence[str], runs: int, reviews: int, console: Console) -> dict[str, Ratios]:
    """Measure on services of their own."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="starstream-compare-")))
        corpus, bundle = _sample(folder / "sample.csv"), _starter(folder / "models")
        kafka, redis = parts.enter_context(LocalKafka()), parts.enter_context(LocalRedis())
        # The admin client of the stack goes before the broker: librdkafka may not return from its end without one.
        return _by_turns(Bench(Stack(kafka, redis), corpus, {STABLE: bundle}, reviews), rows, runs, console)


def _by_turns(bench: Bench, rows: Sequence[str], runs: int, console: Console) -> dict[str, Ratios]:
    """Run each row and its bare client one right after the other, in the opposite order in every other run."""
    programs = {program.name: program for program in PROGRAMS}
    found: dict[str, list[float]] = {row: [] for row in rows}
    for run in range(runs):
        for row in alternated(rows, run):
            bare, cost = BARE[row], dict[str, float]()
            for name in alternated([bare, row], run):
                cost[name] = throughput(bench, programs[name])["cpu_us_per_review"]
            found[row].append(cost[row] / cost[bare])
            line = f"{row}: {cost[row]:.1f} us, {bare}: {cost[bare]:.1f} us, {found[row][-1]:.3f}"
            console.print(line, highlight=False)
    return {row: Ratios(tuple(values)) for row, values in found.items()}


def _sample(path: Path) -> Corpus:
    write_sample(path, cache_dir(os.environ))
    with path.open(encoding="utf-8", newline="") as file:
        return Corpus("the sample set", [row["content"] for row in csv.DictReader(file)])


def _starter(registry: Path) -> Path:
    command = [sys.executable, "-m", "trainer", "starter", "--registry", str(registry)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return registry / starter_version()


def _write(path: Path, rows: Mapping[str, Ratios], machine: dict[str, Any], setting: str) -> None:
    said = {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine,
        "setting": setting,
        "rows": {row: [round(value, 4) for value in ratios.values] for row, ratios in rows.items()},
    }
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__)
    parser.add_argument("--runs", type=int, default=_RUNS, metavar="R", help=f"of each row (default {_RUNS})")
    parser.add_argument("--reviews", type=int, default=_REVIEWS, metavar="N", help="of a run (default 60,000)")
    parser.add_argument("--rows", nargs="+", choices=BARE, metavar="ROW", help="only these")
    parser.add_argument("--file", type=Path, default=FILE, help="what to compare with (default cpu_ratios.json)")
    parser.add_argument("--write", action="store_true", help="keep what was measured in that file")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
