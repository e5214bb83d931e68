"""From the moment a review was due until its rating can be read, at several loads.

The producer and both readers are one process of their own (`rows/load.py`): it costs a share of the two cores, the same
for every program.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Final

from tests.benchmarks.arithmetic import per_review
from tests.benchmarks.catalogue import Program
from tests.benchmarks.page import mean_batch
from tests.benchmarks.processes import RowError, environment
from tests.benchmarks.rows.job import CHECKPOINT
from tests.benchmarks.rows.load import Spec
from tests.benchmarks.stack import PARTITIONS
from tests.benchmarks.throughput import Bench, Ready, joined

_EVENTS: Final = "Kh$"  # keyspace events of hashes and strings
_PROBES_PER_S: Final = 100
_BEARABLE: Final = 0.9  # share of the capacity up to which a fixed rate is measured: above, the queue only grows
_WARM_UP: Final = 0.25  # of a load, not counted: a program that has just joined compiles, connects and learns
_LINGER_MS: Final = 5  # Kafka's and librdkafka's default (KIP-1030); with none a request a review busies the broker


@dataclass(frozen=True, slots=True)
class Plan:
    """How long latency is measured."""

    idle_reviews: int = 50  # single reviews, each long after the one before
    idle_rate: float = 5.0  # of them a second, so low that each finds the program waiting
    load_s: float = 8.0  # seconds at each share of the capacity


def latency(bench: Bench, program: Program, capacity: float, plan: Plan) -> dict[str, float]:
    """Measure one run of a program at each load of its row: `<load>_<place>_<quantile>_ms`, the CPU a review of the
    program, the broker and Redis, and the worker's mean batch.

    Args:
        bench: stack, reviews and bundle.
        program: with the loads.
        capacity: its reviews a second, of which the loads are shares.
        plan: how long.

    Raises:
        RowError: reviews did not come out.
    """
    figures: dict[str, float] = {}
    for name, rate in _loads(program, capacity):
        with joined(bench, program, CHECKPOINT, notify=_EVENTS) as ready:
            spec = _spec(bench, ready, rate, plan)
            before = _cpu_s(bench, ready)
            found = _loaded(ready, spec)
            found |= per_review(before, _cpu_s(bench, ready), spec.reviews)
            found |= mean_batch(ready.start.page) if ready.start.page else {}
        if found.pop("missing"):
            raise RowError(f"{name}: reviews did not come out within the deadline")
        figures |= {f"{name}_{key}": value for key, value in found.items()}
    return figures


def _loads(program: Program, capacity: float) -> list[tuple[str, float]]:
    """Return the name and reviews a second of each load of a row."""
    shares = [(f"load{load * 100:.0f}" if load else "idle", load * capacity) for load in program.latency]
    return shares + [(f"rate{rate:.0f}", rate) for rate in program.rates if rate <= capacity * _BEARABLE]


def _cpu_s(bench: Bench, ready: Ready) -> dict[str, float]:
    """Return CPU seconds so far of the program and of each service, by the name of the figure."""
    found = {"": ready.watched.cpu_s()} | {f"{name}_": value for name, value in bench.stack.services_cpu_s().items()}
    return {f"{name}cpu_us_per_review": value for name, value in found.items()}


def _spec(bench: Bench, ready: Ready, rate: float, plan: Plan) -> Spec:
    idle = rate == 0
    return Spec(
        bootstrap=bench.stack.kafka.bootstrap,
        redis_url=bench.stack.redis.url,
        input_topic=ready.run.input_topic,
        output_topic=ready.run.output_topic,
        partitions=PARTITIONS,
        rate=plan.idle_rate if idle else rate,
        reviews=plan.idle_reviews + 5 if idle else max(10, round(rate * plan.load_s)),
        warm_up=5 if idle else round(rate * plan.load_s * _WARM_UP),
        probe_every=1 if idle else max(1, round(rate / _PROBES_PER_S)),
        jitter=idle,
        linger_ms=0 if idle else _LINGER_MS,
    )


def _loaded(ready: Ready, spec: Spec) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.rows.load", json.dumps(asdict(spec))]
    timeout_s = spec.reviews / spec.rate + 180
    done = subprocess.run(command, env=environment({}), capture_output=True, text=True, timeout=timeout_s, check=False)
    ready.watched.require_alive()
    if done.returncode != 0:
        raise RowError(f"the producer ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
