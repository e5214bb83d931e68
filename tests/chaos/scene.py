"""The stage (one broker, one Redis) and a scene on it: the topics, group, producer and workers of one case.

Owns starting, faults and waiting. A case (cases/) says what happens; the auditor (audit.py) checks the result. Every
wait is for an event and has a deadline.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
import redis
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.kafka import LocalKafka
from deploy.process import free_port, wait_until
from deploy.redis import LocalRedis
from schemas.bundle import MANIFEST_FILE, MODEL_FILE
from schemas.channels import CHANNELS_FILE, STABLE
from tests.chaos.audit import Ledger, Verdict, audit
from tests.chaos.reviews import Input
from tests.chaos.workers import Worker

PARTITIONS: Final = 6
SESSION_S: Final = 4.0
SETTLE_S: Final = 120.0
TOY: Final = Path(__file__).parents[1] / "fixtures" / "toy_bundle"
OTHER_VERSION: Final = "20260102T000000Z-70700001"
DAMAGED_VERSION: Final = "20260103T000000Z-70700002"
_GROWTH_BYTES: Final = 150 * 1024 * 1024  # more than a worker's full buffers and caches
_REQUEST_S: Final = 10.0
# A restarted broker must not abort expired transactions before it knows its own partitions: they would stay open
# indefinitely (README.md). The workers end theirs within seconds.
_BROKER: Final = {
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "20000",
}
_FLAGS: Final = {
    "session-timeout-s": SESSION_S,
    "max-poll-interval-s": 20,
    "transaction-timeout-s": 5,
    "request-timeout-s": 5,
    "drain-deadline-s": 15,
    "batch-reviews": 200,
    "redis-timeout-s": 2,
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


class Brokers(Protocol):
    """What a scene needs from its brokers."""

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create topics, name to number of partitions."""


def client(bootstrap: str) -> dict[str, str | int | float | bool]:
    """Return the options of the suite's own clients; they log nothing when a broker is killed."""
    return {"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 1000}


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
            LocalKafka(extra_properties=_BROKER, data_dir=folder / "kafka") as kafka,
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


class Scene:
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
        self.stage = stage
        self.brokers = brokers or stage.kafka
        self.name = name
        self.delivery = delivery
        self.random = random.Random(name)  # noqa: S311  (the same stream in each run)
        self.folder = stage.folder / name
        self.folder.mkdir()
        self.group = f"chaos-{name}-{free_port()}"
        self.topic, self.ratings, self.letters = f"{name}.reviews", f"{name}.ratings", f"{name}.dlq"
        self.prefix = f"{name}:"
        self.registry = self.folder / "models"
        shutil.copytree(TOY, self.registry)
        self.workers: list[Worker] = []
        self.kills = 0
        self.sent = 0
        self.recovery_s = 0.0
        self.ledger = Ledger()
        self._recovery_from: float | None = None
        self.admin = AdminClient(client(self.brokers.bootstrap))
        self._observer = self._make_observer()
        self._producer = Producer({**client(self.brokers.bootstrap), "linger.ms": 5, "acks": "all"})
        self.store = redis.Redis.from_url(stage.redis.url, decode_responses=True)
        self.create_topics(self.topic, self.ratings, self.letters)

    # The stream

    def create_topics(self, *names: str) -> None:
        """Create topics and wait until they have leaders."""
        self.brokers.create_topics({name: 1 if name == self.letters else PARTITIONS for name in names})

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone from the brokers' metadata."""
        self.admin.delete_topics([name])[name].result(_REQUEST_S)
        self.wait(f"{name} is gone", lambda: name not in self.admin.list_topics(timeout=_REQUEST_S).topics)

    def produce(self, inputs: Iterable[Input], *, wait: bool = True) -> int:
        """Send records, and with `wait` wait until the brokers have them; return their number."""
        count = 0
        for record in inputs:
            self._send(record)
            count += 1
        self.sent += count
        if wait:
            assert self._producer.flush(SETTLE_S) == 0, "the brokers did not take what was produced"
        return count

    def _send(self, record: Input) -> None:
        while True:
            try:
                self._producer.produce(self.topic, record.value, record.key, headers=list(record.headers))
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    # Workers

    def worker(self, name: str, *faults: str, ready: bool = True, **settings: object) -> Worker:
        """Start a worker with these settings in addition to the suite's; `faults` are the launcher's arguments."""
        flags = {
            **_FLAGS,
            "kafka-bootstrap-servers": self.brokers.bootstrap,
            "kafka-client": self.stage.client,
            "input-topics": self.topic,
            "output-topic": self.ratings,
            "dead-letter-topic": self.letters,
            "group-id": self.group,
            "delivery": self.delivery,
            "registry": self.registry,
            "redis-url": self.stage.redis.url,
            "redis-prefix": self.prefix,
            **{key.replace("_", "-"): value for key, value in settings.items()},
        }
        words = [word for key, value in flags.items() for word in (f"--{key}", str(value))]
        all_faults = [*faults, *(f"--plant={plant}" for plant in self.stage.plants)]
        number = sum(worker.name.startswith(name) for worker in self.workers)
        made = Worker(f"{name}{number or ''}", self.folder, words, port=free_port(), faults=all_faults)
        self.workers.append(made)
        if ready:
            made.wait_ready()
        return made

    @property
    def alive(self) -> list[Worker]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.returncode is None]

    def kill(self, worker: Worker) -> None:
        """SIGKILL a worker, and count it."""
        worker.record_memory()
        worker.kill()
        self.count_fault()

    def count_fault(self) -> None:
        """Count a fault; recovery is measured from the last one, or from `restored`."""
        self.kills += 1
        self.restored()

    def restored(self) -> None:
        """Measure recovery from now: a service is back."""
        self._recovery_from = time.monotonic()

    def publish_bundle(self, version: str, *, candidate: str | None = None) -> None:
        """Point the registry's channels at versions: the toy's own, or a copy of it under another name."""
        for added in {version, candidate or version}:
            self._add_bundle(added)
        self._point({STABLE: version, **({"candidate": candidate} if candidate else {})})

    def damage_bundle(self) -> None:
        """Point the channel at a version whose graph is cut in half."""
        self._add_bundle(DAMAGED_VERSION)
        graph = self.registry / DAMAGED_VERSION / MODEL_FILE
        graph.write_bytes(graph.read_bytes()[:1000])
        self._point({STABLE: DAMAGED_VERSION})

    @contextmanager
    def registry_away(self) -> Iterator[None]:
        """Make the registry unreachable during the block."""
        away = self.registry.rename(self.registry.with_name("models-away"))
        try:
            yield
        finally:
            away.rename(self.registry)

    def _add_bundle(self, version: str) -> None:
        (original,) = (path for path in TOY.iterdir() if path.is_dir())
        if not (self.registry / version).exists():
            shutil.copytree(original, self.registry / version)
            manifest = self.registry / version / MANIFEST_FILE
            fields = json.loads(manifest.read_text(encoding="utf-8")) | {"version": version}
            manifest.write_text(json.dumps(fields), encoding="utf-8")

    def _point(self, channels: dict[str, str]) -> None:
        temporary = self.registry / f".{CHANNELS_FILE}"
        temporary.write_text(json.dumps(channels), encoding="utf-8")
        temporary.replace(self.registry / CHANNELS_FILE)

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
            state = {
                worker.name: worker.reasons if worker in self.alive else worker.returncode for worker in self.workers
            }
            shown = self.alive or self.workers[-1:]
            tails = "\n".join(f"--- {worker.name}\n{worker.log[-1500:]}" for worker in shown)
            raise AssertionError(f"{error}; lag {self.lag()}, workers: {state}\n{tails}") from error

    def wait_output(self, goal: int, timeout_s: float = SETTLE_S) -> None:
        """Wait until the output topics hold `goal` records, or all input is committed."""
        self.wait(f"{goal} records of output", lambda: self.published() >= goal or self.lag() == 0, timeout_s)

    def published(self) -> int:
        """Return the number of records in the output topics, open transactions included; -1 without an answer."""
        try:
            return sum(
                end for _, end in map(self._ends, self._partitions(self.ratings) + self._partitions(self.letters))
            )
        except KafkaException:
            return -1

    def lag(self) -> int | None:
        """Return how far the committed offsets are behind the ends of the input; None without an answer."""
        behind = 0
        try:
            for at in self._observer.committed(self._partitions(self.topic), timeout=_REQUEST_S):
                if at.error is not None:
                    return None
                low, end = self._ends(TopicPartition(at.topic, at.partition))
                behind += end - max(at.offset, low)
        except KafkaException:
            # There is no broker, or an open transaction blocks the answer, or librdkafka asks a former leader. It
            # learns of a new leader only for topics that it reads, so replace the client.
            self._observer.close()
            self._observer = self._make_observer()
            return None
        return behind

    def _make_observer(self) -> Consumer:
        return Consumer({**client(self.brokers.bootstrap), "group.id": self.group, "enable.auto.commit": False})

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Wait until everything produced is committed, and record the time since the last fault."""
        self.wait("everything committed", lambda: self.lag() == 0, timeout_s)
        if self._recovery_from is not None:
            self.recovery_s = max(self.recovery_s, time.monotonic() - self._recovery_from)
            self._recovery_from = None
        for worker in self.alive:
            worker.record_memory()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        count = 1 if topic == self.letters else PARTITIONS
        return [TopicPartition(topic, number) for number in range(count)]

    def _ends(self, at: TopicPartition) -> tuple[int, int]:
        found: tuple[int, int] | None = self._observer.get_watermark_offsets(at, timeout=_REQUEST_S)
        assert found is not None
        return found

    # The end of a case

    def finish(self) -> Verdict:
        """Wait until all is committed, stop every worker (each must exit with 0), and audit."""
        self.settle()
        self.assert_healthy()
        for worker in self.alive:
            worker.stop()
        self.ledger.read(self.brokers.bootstrap, self.topic)
        topics = (self.ratings, self.letters)
        return audit(self.ledger, self.brokers.bootstrap, topics, self.store, self.prefix)

    def assert_healthy(self) -> None:
        """Check that every running worker reports that it is ready and has no lag."""
        for worker in self.alive:
            worker.wait("ready in the end", lambda worker: worker.ready)
            worker.wait("reports no lag", lambda worker: worker.metric("starstream_consumer_lag_records{") in {0.0})

    def close(self) -> list[str]:
        """End all workers; return what went wrong: leaked processes and memory growth."""
        for worker in self.workers:
            worker.end()
        self._observer.close()
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
