"""The stage (one broker, one Redis) and a scene on it: the topics, group, producer and workers of one case.

Owns starting, faults and waiting. A case (cases/) says what happens; the auditor (audit.py) checks the result. Every
wait is for an event and has a deadline.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from deploy.kafka import LocalKafka
from deploy.process import wait_until
from deploy.redis import LocalRedis
from schemas.channels import STABLE
from tests.chaos.audit import Ledger, Verdict, audit
from tests.chaos.workers import Worker
from tests.conftest import ROOT
from tests.fixtures.bundles import THIRD, ToyRegistry
from tests.fixtures.markers import BROKER
from tests.fixtures.records import Message, client, send
from tests.fixtures.running import Brokers, Deployment

SESSION_S: Final = 4.0
SETTLE_S: Final = 120.0
_GROWTH_BYTES: Final = 150 * 1024 * 1024  # more than a worker's full buffers and caches
_REQUEST_S: Final = 10.0
_SETTINGS: Final[dict[str, object]] = {
    "session_timeout_s": SESSION_S,
    "max_poll_interval_s": 20,
    "transaction_timeout_s": 5,
    "request_timeout_s": 5,
    "drain_deadline_s": 15,
    "batch_reviews": 200,
    "redis_timeout_s": 2,
    "redis_form": 2,
}


@dataclass(slots=True)
class Stage:
    """The services and options that all cases share."""

    kafka: LocalKafka
    redis: LocalRedis
    folder: Path
    plants: Sequence[str] = ()
    full: bool = False
    client: str = "kafka-python"

    def scaled(self, ci: int, full: int) -> int:
        """Return the count of this run's size."""
        return full if self.full else ci


@contextmanager
def open_stage(
    *, plants: Sequence[str] = (), full: bool = False, client: str = "kafka-python", keep: Path | None = None
) -> Iterator[Stage]:
    """Start the services, and stop them at the end; logs and data stay in the folder `keep` if given.

    `client` is the workers' Kafka client.

    Raises:
        ServiceUnavailable: Java, Maven or redis-server is missing.
    """
    folder = (keep or Path(tempfile.mkdtemp(prefix="starstream-chaos-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            LocalKafka(extra_properties=BROKER, data_dir=folder / "kafka") as kafka,
            LocalRedis(appendonly=True, data_dir=folder / "redis") as store,
        ):
            yield Stage(kafka, store, folder, plants, full, client)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Row:
    """A line of the table."""

    case: str
    reviews: int = 0
    kills: int = 0
    lost: int = 0
    duplicated: int = 0
    dead_lettered: int = 0
    recovery_s: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the case has passed."""
        return not self.wrong


class Scene(Deployment):
    """One case's topics, group, keys and workers.

    Args:
        stage: the services.
        name: of the case; makes all names unique.
        delivery: the workers' mode.
        brokers: used in place of the stage's.
    """

    def __init__(
        self, stage: Stage, name: str, *, delivery: str = "exactly_once", brokers: Brokers | None = None
    ) -> None:
        folder = stage.folder / name
        folder.mkdir()
        super().__init__(brokers or stage.kafka, stage.redis.url, folder, name=f"{name}-")
        self.stage = stage
        self.name = name
        self.registry = ToyRegistry(folder / "models")
        self.settings |= _SETTINGS | {
            "kafka_client": stage.client,
            "delivery": delivery,
            "registry": str(self.registry.root),
        }
        self.root = ROOT  # the checkout whose code runs in workers that are started from now on
        self.random = random.Random(name)  # noqa: S311  (the same stream in each run)
        self.workers: list[Worker] = []
        self.kills = 0
        self.sent = 0
        self.recovery_s = 0.0
        self.ledger = Ledger()
        self._recovery_from: float | None = None
        self.admin = AdminClient(client(self.kafka.bootstrap))

    # The stream

    def create_topic(self, name: str) -> None:
        """Create a topic of its names, and wait until it has leaders."""
        self.kafka.create_topics({name: self.topics[name]})

    def add_partitions(self, count: int) -> None:
        """Grow the input topic to this many partitions, and produce to all of them from now on."""
        self.admin.create_partitions([NewPartitions(self.input, count)])[self.input].result(_REQUEST_S)
        self.topics[self.input] = count
        self.send([])  # what the old producer still holds
        self._producer = self._make_producer()

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone from the brokers' metadata."""
        self.admin.delete_topics([name])[name].result(_REQUEST_S)
        self.wait(f"{name} is gone", lambda: name not in self.admin.list_topics(timeout=_REQUEST_S).topics)

    def send(self, messages: Iterable[Message], *, wait: bool = True) -> int:
        """Send records, and with `wait` wait until the brokers have them; return their number."""
        count = 0
        for message in messages:
            send(self._producer, self.input, message)
            count += 1
        self.sent += count
        if wait:
            assert self._producer.flush(SETTLE_S) == 0, "the brokers did not take what was produced"
        return count

    # Workers

    def start(self, name: str, *faults: str, ready: bool = True, **settings: object) -> Worker:
        """Start a worker with these settings in addition to the suite's; `faults` are the launcher's arguments."""
        all_faults = [*faults, *(f"--plant={plant}" for plant in self.stage.plants)]
        number = sum(worker.name.startswith(name) for worker in self.workers)
        made = Worker(f"{name}{number or ''}", self.folder, self.flags(**settings), faults=all_faults, root=self.root)
        self.workers.append(made)
        return made.ready() if ready else made

    @property
    def alive(self) -> list[Worker]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.child.returncode is None]

    def kill(self, worker: Worker) -> None:
        """SIGKILL a worker, and count it."""
        worker.record_memory()
        worker.child.kill()
        self.count_fault()

    def count_fault(self) -> None:
        """Count a fault; recovery is measured from the last one, or from `restored`."""
        self.kills += 1
        self.restored()

    def restored(self) -> None:
        """Measure recovery from now: a service is back."""
        self._recovery_from = time.monotonic()

    def publish_bundle(self, version: str, *, candidate: str | None = None) -> None:
        """Point the registry's channels at versions that rate as the toy does."""
        for channel, chosen in {STABLE: version, "candidate": candidate}.items():
            if chosen is not None:
                self._add_bundle(chosen)
                self.registry.point(channel, chosen)

    def damage_bundle(self) -> None:
        """Point the channel at a version whose graph is not what its manifest says."""
        if self._add_bundle(THIRD):
            self.registry.corrupt(THIRD)
        self.registry.point(STABLE, THIRD)

    def _add_bundle(self, version: str) -> bool:
        new = not (self.registry.root / version).exists()
        if new:
            self.registry.publish(version)
        return new

    # Waiting

    def wait(self, what: str, probe: Callable[[], bool], timeout_s: float = SETTLE_S) -> None:
        """Wait for an event; an error names it and shows why the workers are not ready."""

        def look() -> bool:
            if self.workers and not self.alive:
                raise TimeoutError(f"{self.name}: {what}: every worker has ended")
            return probe()

        try:
            wait_until(look, timeout_s, f"{self.name}: {what}")
        except TimeoutError as error:
            state = {worker.name: worker.child.returncode or worker.reasons for worker in self.workers}
            shown = self.alive or self.workers[-1:]
            tails = "\n".join(f"--- {worker.name}\n{worker.child.log_tail()}" for worker in shown)
            raise AssertionError(f"{error}; lag {self.lag()}, workers: {state}\n{tails}") from error

    def wait_output(self, goal: int, timeout_s: float = SETTLE_S) -> None:
        """Wait until the output topics hold `goal` records, or all input is committed."""
        self.wait(f"{goal} records of output", lambda: self.published() >= goal or self.lag() == 0, timeout_s)

    def published(self) -> int:
        """Return the number of records in the output topics, open transactions included; -1 without an answer."""
        try:
            return sum(end for topic in (self.output, self.dead) for _, end in map(self._ends, self._partitions(topic)))
        except KafkaException:
            return -1

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Wait until everything produced is committed, and record the time since the last fault."""
        self.wait("everything committed", lambda: self.lag() == 0, timeout_s)
        if self._recovery_from is not None:
            self.recovery_s = max(self.recovery_s, time.monotonic() - self._recovery_from)
            self._recovery_from = None
        for worker in self.alive:
            worker.record_memory()

    # The end of a case

    def finish(self, *, replay: str | None = None) -> Verdict:
        """Wait until all is committed, stop every worker (each must exit with 0), and audit.

        `replay` is the topic of a replay that wrote under the live keys.
        """
        self.settle()
        for worker in self.alive:
            worker.wait_no_lag()
        for worker in self.alive:
            worker.drain()
        self.ledger.read(self.kafka.bootstrap, self.input)
        topics = (self.output, self.dead)
        return audit(self.ledger, self.kafka.bootstrap, topics, self.redis, self.prefix, replay=replay)

    def close(self) -> list[str]:
        """End all workers; return what went wrong: leaked processes and memory growth."""
        for worker in self.workers:
            worker.child.terminate(5.0)
        self.__exit__(None, None, None)
        wrong = [f"leaked process {pid}" for pid in self._leaked()]
        for worker in self.workers:
            if worker.rss_bytes and max(worker.rss_bytes) - worker.rss_bytes[0] > _GROWTH_BYTES:
                before, after = worker.rss_bytes[0] >> 20, max(worker.rss_bytes) >> 20
                wrong += [f"{worker.name} grew from {before} to {after} MiB"]
        return wrong

    def _leaked(self) -> list[int]:
        """Return processes with this scene's group on their command line."""
        leaked = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line: Any = process.info["cmdline"] or []
            if self.group in line and process.info["status"] != psutil.STATUS_ZOMBIE:
                leaked.append(process.pid)
        return leaked
