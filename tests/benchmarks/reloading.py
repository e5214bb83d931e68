"""`python -m tests.benchmarks.reloading`: what a reload does to the latency of the reviews that flow meanwhile.

One worker at half of its capacity, with the channel at rest and with the channel moving every other second between
two versions, by turns. Each move after the first two is back to the version in memory; `--fresh` names a new version
each time, so that every move fetches, verifies, replays and warms up a bundle beside the loop. The yardstick is the
time the loop takes for a batch, which is the row `batch`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from deploy.kafka import LocalKafka
from deploy.redis import LocalRedis
from schemas.bundle import MANIFEST_FILE
from schemas.channels import CHANNELS_FILE, STABLE
from tests.benchmarks.arithmetic import medians
from tests.benchmarks.catalogue import Program
from tests.benchmarks.corpus import ROOT, read_corpus
from tests.benchmarks.latency import Plan, latency
from tests.benchmarks.machine import this_machine
from tests.benchmarks.stack import Stack
from tests.benchmarks.throughput import Bench, throughput

_MOVE_EVERY_S: Final = 2.0
_LOAD: Final = 0.5
_WORKER: Final = Program(
    "worker",
    "the worker, exactly-once",
    exactly_once=True,
    follows=True,
    flags=("--reload-interval-s", "0.5"),
    latency=(_LOAD,),
)


def main() -> int:
    """Measure and print the table; return the exit code: 0, 2 when there is no bundle."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reloading", description=__doc__)
    parser.add_argument("--registry", type=Path, default=ROOT / "models", help="its `stable` bundle serves")
    parser.add_argument("--runs", type=int, default=3, help="of each, by turns")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load in a run")
    parser.add_argument("--fresh", action="store_true", help="a version that was never seen at each move")
    given = parser.parse_args()
    console = Console(width=120)
    try:
        version = json.loads((given.registry / CHANNELS_FILE).read_bytes())[STABLE]
    except (OSError, KeyError, ValueError) as error:
        console.print(f"{given.registry}: no stable bundle ({error}); make demo trains one", style="red", markup=False)
        return 2
    console.print(f"{this_machine()}; bundle {version}", highlight=False)
    runs: dict[str, list[dict[str, float]]] = {"at rest": [], "moving": []}
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="reloading-")))
        registry = _Registry(folder, given.registry / version)
        registry.point(version)
        stack = Stack(parts.enter_context(LocalKafka()), parts.enter_context(LocalRedis()))
        bench = Bench(stack, read_corpus(), {STABLE: folder / version}, 40_000)
        capacity = throughput(bench, replace(_WORKER, latency=()))["reviews_per_s"]
        console.print(f"capacity {capacity:,.0f} reviews/s; measured at {_LOAD:.0%} of it", highlight=False)
        for _ in range(given.runs):
            for name, found in runs.items():
                registry.point(version)
                with registry.moving(fresh=given.fresh) if name == "moving" else ExitStack():
                    found.append(latency(bench, _WORKER, capacity, Plan(load_s=given.seconds)))
    _show(console, {name: medians(found) for name, found in runs.items()}, registry.moves)
    return 0


class _Registry:
    """Versions that differ by their name, and a channel that moves."""

    def __init__(self, root: Path, bundle: Path) -> None:
        self.moves = 0
        self._root = root
        self._bundle = bundle
        shutil.copytree(bundle, root / bundle.name)

    def point(self, version: str) -> None:
        """Move the channel."""
        beside = self._root / ".channels"
        beside.write_text(json.dumps({STABLE: version}), encoding="utf-8")
        beside.replace(self._root / CHANNELS_FILE)

    @contextmanager
    def moving(self, *, fresh: bool) -> Iterator[None]:
        """Move the channel again and again while the block runs."""
        ended = threading.Event()

        def move() -> None:
            numbers = count(self.moves)
            while not ended.wait(_MOVE_EVERY_S):
                number = next(numbers)
                self.point(self._version(number if fresh else number % 2))
                self.moves += 1

        thread = threading.Thread(target=move, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _version(self, number: int) -> str:
        """Return the name of a copy of the bundle, made when it is not there."""
        name = f"20260101T000000Z-{number:08x}"
        if not (self._root / name).exists():
            shutil.copytree(self._bundle, self._root / f".{name}")
            manifest = self._root / f".{name}" / MANIFEST_FILE
            said = json.loads(manifest.read_bytes()) | {"version": name}
            manifest.write_text(json.dumps(said), encoding="utf-8")
            (self._root / f".{name}").rename(self._root / name)
        return name


def _show(console: Console, found: dict[str, dict[str, float]], moves: int) -> None:
    names = sorted({name for figures in found.values() for name in figures if name.endswith("_ms")})
    table = Table("", *found, "difference", title=f"at half load, ms; {moves} moves", title_justify="left")
    for name in names:
        still, moving = (found[each].get(name, float("nan")) for each in ("at rest", "moving"))
        table.add_row(name.removesuffix("_ms"), f"{still:.1f}", f"{moving:.1f}", f"{moving - still:+.1f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
