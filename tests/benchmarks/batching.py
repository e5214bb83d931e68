"""`python -m tests.benchmarks.batching`: which rule of release keeps reviews waiting least, by simulation.

No broker and no model: arrivals are drawn, a batch costs the loop `fixed + each_token * tokens` seconds (give the
figures of your worker: `starstream_batch_cost_*`), and the clock is a number. The rule called `learned` is the worker's
own `Batcher`, which has to find the cost by itself; the others are the same with their waiting decided beforehand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from rich.console import Console

from tests.benchmarks.report import rich_table
from worker.records import Batch, Record
from worker.stream.batch_cost import Cost
from worker.stream.batcher import Batcher, Limits

_TOKENS: Final = 22  # of a review, as of the benchmark's
_VALUE_BYTES: Final = 200
_LIMITS: Final = Limits(2000, 4_000_000, 200_000, linger_s=0.010)
_NOISE: Final = 0.15  # of a batch's cost
_WARM_UP: Final = 0.2  # of a run, not counted: the rule learns


class Rule(Protocol):
    """What decides when a batch goes, as the pipeline asks `Batcher`."""

    def add(self, records: Sequence[Record], now: float) -> None: ...
    def wait_s(self, now: float) -> float: ...
    def release(self, now: float) -> Batch | None: ...
    def learn(self, batch: Batch, tokens: int, seconds: float, of_tokens_s: float) -> None: ...
    @property
    def room(self) -> int: ...


class _Priceless(Cost):
    """A cost under which it never, or always, pays to wait; nothing is learned."""

    def __init__(self, *, waits: bool) -> None:
        super().__init__()
        self._answer = float("inf") if waits else 0.0

    def observe(self, tokens: int, seconds: float, of_tokens_s: float) -> None:
        """Nothing."""

    def worth_waiting(self, tokens_per_s: float) -> float:
        """Return all or nothing, however much comes."""
        return self._answer * (1.0 + tokens_per_s)


class _Linger(Batcher):
    """Waits for a fixed time, whoever is expected: the field's `linger.ms`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.cost = _Priceless(waits=True)

    def _bytes_per_s(self, now: float) -> float:
        return 1e12 + now  # somebody is always expected


def _take_what_is_there(limits: Limits) -> Batcher:
    batcher = Batcher(limits)
    batcher.cost = _Priceless(waits=False)
    return batcher


@dataclass(frozen=True, slots=True)
class Drawn:
    """A record of the simulation; its offset is its number among the arrivals."""

    offset: int
    value: bytes = b"x" * _VALUE_BYTES
    topic: str = "reviews"
    partition: int = 0
    timestamp: int = -1
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """What a batch costs."""

    fixed_s: float
    token_s: float

    def of(self, reviews: int) -> float:
        """Return the seconds of a batch."""
        return self.fixed_s + self.token_s * _TOKENS * reviews

    @property
    def capacity(self) -> float:
        """Return reviews a second in full batches."""
        return _LIMITS.records / self.of(_LIMITS.records)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How long reviews waited from arrival until settled, and how busy the loop was."""

    p50_ms: float
    p99_ms: float
    mean_batch: float
    busy: float


def poisson(rate: float, seconds: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return arrival times of a Poisson stream, `float64[N]`."""
    count = random.poisson(rate * seconds)
    return np.sort(random.uniform(0, seconds, count))


def bursts(rate: float, seconds: float, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return arrival times of the same mean rate in which bursts of some 50 within 5 ms follow one another."""
    starts = np.repeat(poisson(rate / 50, seconds, random), 50)
    return np.sort(starts + random.exponential(0.005, len(starts)))


def simulate(rule: Rule, arrivals: npt.NDArray[np.float64], truth: Truth, random: np.random.Generator) -> Outcome:
    """Play arrivals through a loop that polls, asks the rule, and settles batches, as `Pipeline.step` does."""
    settled = np.empty(len(arrivals))
    sizes: list[int] = []
    at = busy = 0.0
    taken = done = 0
    while done < len(arrivals):
        wait_s = rule.wait_s(at)
        if taken < len(arrivals) and arrivals[taken] > at:
            at = min(at + wait_s, float(arrivals[taken]))  # a poll returns with the first record, or at its time-out
        elif taken == len(arrivals):
            at += wait_s
        here = min(int(np.searchsorted(arrivals, at, side="right")), taken + max(1, rule.room))
        rule.add([Drawn(number) for number in range(taken, here)], at)
        taken = here
        while (batch := rule.release(at)) is not None:
            slow = float(random.lognormal(0, _NOISE))
            seconds = truth.of(len(batch.records)) * slow
            at += seconds
            busy += seconds
            settled[done : done + len(batch.records)] = at
            done += len(batch.records)
            sizes.append(len(batch.records))
            tokens = _TOKENS * len(batch.records)
            rule.learn(batch, tokens, seconds, truth.token_s * tokens * slow)
    counted = slice(int(len(arrivals) * _WARM_UP), None)
    late = (settled - arrivals)[counted] * 1000
    return Outcome(float(np.quantile(late, 0.5)), float(np.quantile(late, 0.99)), float(np.mean(sizes)), busy / at)


RULES: Final[Mapping[str, Callable[[], Rule]]] = {
    "none: take what is there": lambda: _take_what_is_there(_LIMITS),
    "fixed linger 10 ms": lambda: _Linger(_LIMITS),
    "fixed linger 50 ms": lambda: _Linger(Limits(2000, 4_000_000, 200_000, linger_s=0.050)),
    "learned, at most 10 ms": lambda: Batcher(_LIMITS),
}
STREAMS: Final = {"Poisson": poisson, "bursts of 50": bursts}


def table(truth: Truth, loads: Sequence[float], seconds: float, seed: int) -> Iterator[list[str]]:
    """Yield heading and rows: for each stream and rule, p50 / p99, mean batch and share of the loop at each load."""
    yield ["stream", "rule", *(f"{load:.0%}: p50 / p99 ms, batch, busy" for load in loads)]
    for stream, draw in STREAMS.items():
        for rule, make in RULES.items():
            cells = []
            for load in loads:
                random = np.random.default_rng(seed)
                arrivals = draw(load * truth.capacity, seconds, random)
                found = simulate(make(), arrivals, truth, random)
                cells.append(f"{found.p50_ms:.1f} / {found.p99_ms:.1f}, {found.mean_batch:.0f}, {found.busy:.0%}")
            yield [stream, rule, *cells]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.batching", description=__doc__)
    parser.add_argument("--fixed-ms", type=float, default=10.0, help="a batch's cost whatever its size (default 10)")
    parser.add_argument("--token-us", type=float, default=3.0, help="each token's (default 3)")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.01, 0.1, 0.5, 0.8, 0.95], help="of capacity")
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated, of each cell (default 20)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    truth = Truth(arguments.fixed_ms / 1e3, arguments.token_us / 1e6)
    console = Console()
    console.width = max(console.width, 170)
    console.print(f"{truth}: {truth.capacity:,.0f} reviews/s in full batches of {_LIMITS.records}", highlight=False)
    console.print(rich_table(list(table(truth, arguments.loads, arguments.seconds, arguments.seed))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
