"""Records what real workers emit in a fault, as tests of the alerts: `python -m tests.integration.record_faults`.

Takes 25 minutes: every fault at once, each with workers of its own, scraped every 15 seconds as a deployment's
Prometheus does, 5 minutes before the fault and 18 after it. Writes deploy/prometheus/tests/recorded_<fault>.yml, which
promtool runs with the others. Record again when a rule reads a metric that the recordings do not have.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.kafka import LocalKafka
from deploy.redis import LocalRedis
from tests.deploy.assets import ROOT, WORKER_JOB, alerts, metric_names, recorded
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker

INTERVAL_S: Final = 15
BEFORE: Final = 5 * 4  # scrapes
AFTER: Final = 18 * 4
READ: Final = {name for query in (*recorded(), *alerts()) for name in metric_names(query.expr)}
WAITS: Final = ("NoWorkerReady", "WorkerNotReady", "SinkErrors", "CheckpointsFailing")
HEADER: Final = """\
# What real processes emitted in this fault, recorded by `python -m tests.integration.{command}` on {date}:
# {minutes:g} minutes without a fault, then the fault until the end. Do not edit it; record again.
"""


@dataclass(slots=True)
class Fault:
    """A fault, and the alerts that fire once it has lasted."""

    title: str
    alerts: Sequence[str]
    workers: int
    cause: Callable[[Scene], None]


@dataclass(slots=True)
class Scene:
    """One fault with its services and workers, and what was scraped."""

    deployment: Deployment
    kafka: LocalKafka
    redis: LocalRedis
    workers: dict[str, RunningWorker]
    flows: bool = True  # whether reviews are produced
    scrapes: list[dict[str, float]] = field(default_factory=list)

    def kill(self, *instances: str) -> None:
        """Kill workers, which service discovery then drops."""
        for instance in instances or tuple(self.workers):
            self.workers.pop(instance).child.kill()

    def stop_kafka(self) -> None:
        """Stop the broker."""
        self.flows = False
        self.kafka.stop()

    def scrape(self) -> None:
        """Read every worker's page once, as Prometheus does."""
        found: dict[str, float] = {}
        for instance, worker in self.workers.items():
            own = f'job="{WORKER_JOB}", instance="{instance}"'
            samples = worker.samples()
            found[f"up{{{own}}}"] = float(bool(samples))
            for (name, labels), value in samples.items():
                if name in READ:
                    more = "".join(f', {label}="{text}"' for label, text in sorted(labels))
                    found[f"{name}{{{own}{more}}}"] = value
        self.scrapes.append(found)


FAULTS: Final[Mapping[str, Fault]] = {
    "redis_away": Fault(
        "Redis is away", (*WAITS, "NoProgress", "PartitionsPaused", "LagTooLong"), 1, lambda scene: scene.redis.stop()
    ),
    "broker_away": Fault("the broker is away", (*WAITS, "PartitionsPaused"), 1, Scene.stop_kafka),
    "breaker_open": Fault(
        "producers send garbage, and the breaker opens",
        ("BreakerOpen", "NoWorkerReady", "WorkerNotReady", "NoProgress", "PartitionsPaused", "LagTooLong"),
        1,
        lambda scene: scene.deployment.produce(*[Message(b"\xff\xfe")] * 1200),
    ),
    "one_of_two_dead": Fault(
        "one worker of two is killed", ("WorkerDown",), 2, lambda scene: scene.kill("worker-1:9464")
    ),
    "all_dead": Fault("every worker is killed", ("NoWorkerReady", "WorkerDown"), 2, Scene.kill),
}


def main() -> None:
    """Record every fault and write the tests."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shared = (stack.enter_context(LocalKafka()), stack.enter_context(LocalRedis()))
        scenes = {name: _scene(stack, folder, name, fault, *shared) for name, fault in FAULTS.items()}
        start = time.monotonic()
        for number in range(BEFORE + AFTER):
            if number == BEFORE:
                for name, scene in scenes.items():
                    FAULTS[name].cause(scene)
            for scene in scenes.values():
                scene.scrape()
                if scene.flows:
                    scene.deployment.produce(*[Message(b"love it"), Message(b"bad")] * 15)
            time.sleep(max(0.0, start + (number + 1) * INTERVAL_S - time.monotonic()))
        for name, scene in scenes.items():
            path = ROOT / f"deploy/prometheus/tests/recorded_{name}.yml"
            text = page_of(FAULTS[name].title, FAULTS[name].alerts, scene.scrapes, BEFORE, "record_faults")
            path.write_text(text, encoding="utf-8")


def _scene(stack: ExitStack, folder: Path, name: str, fault: Fault, kafka: LocalKafka, redis: LocalRedis) -> Scene:
    if name == "broker_away":
        kafka = stack.enter_context(LocalKafka())
    if name == "redis_away":
        redis = stack.enter_context(LocalRedis())
    return working(stack, folder, fault.workers, kafka, redis)


def working(stack: ExitStack, folder: Path, workers: int, kafka: LocalKafka, redis: LocalRedis) -> Scene:
    """Start workers on topics of their own."""
    deployment = stack.enter_context(Deployment(kafka, redis.url, folder))
    started = {f"worker-{number}:9464": deployment.worker().ready() for number in range(workers)}
    return Scene(deployment, kafka, redis, started)


def page_of(title: str, fired: Sequence[str], scrapes: Sequence[Mapping[str, float]], before: int, command: str) -> str:
    """Return a test for promtool: no alert before the fault, and those that fire at its end."""
    names = sorted({name for scrape in scrapes for name in scrape})
    series = [{"series": name, "values": " ".join(_values([scrape.get(name) for scrape in scrapes]))} for name in names]
    firing = 'group by (alertname) (ALERTS{alertstate="firing"})'
    expected = [{"labels": f'{{alertname="Starstream{name}"}}', "value": 1} for name in fired]
    test: dict[str, Any] = {
        "name": title,
        "interval": f"{INTERVAL_S}s",
        "input_series": series,
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{(before - 1) * INTERVAL_S}s", "exp_samples": []},
            {"expr": firing, "eval_time": f"{(len(scrapes) - 1) * INTERVAL_S}s", "exp_samples": expected},
        ],
    }
    page = {
        "rule_files": ["../rules/starstream.yml"],
        "evaluation_interval": f"{INTERVAL_S}s",
        "group_eval_order": ["starstream-recorded", "starstream-alerts"],
        "tests": [test],
    }
    text = yaml.safe_dump(page, sort_keys=False, width=1_000_000)
    minutes = before * INTERVAL_S / 60
    return HEADER.format(date=time.strftime("%Y-%m-%d"), command=command, minutes=minutes) + text


def _values(values: Sequence[float | None]) -> Iterator[str]:
    """Yield a series in promtool's notation; it ends with `stale`, as Prometheus marks what is scraped no more."""
    seen = False
    for value, run in groupby(values):
        count = len(list(run))
        if value is None:
            if seen:
                yield "stale"
            if count > seen:
                yield f"_x{count - seen}"
        else:
            yield f"{value:.10g}" if count == 1 else f"{value:.10g}x{count - 1}"
        seen = value is not None


if __name__ == "__main__":
    main()
