"""The stage (one broker, one Redis) and a scene on it: topics, a group, a producer and workers of one case.

Owns starting, hurting and settling. A case (cases/) says what happens; the auditor (audit.py) says how it ended.
Everything waited for is an event with a deadline.
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
_GROWTH_BYTES: Final = 150 * 1024 * 1024  # a worker's buffers and caches at their fullest, with room
_ASK_S: Final = 10.0
# A broker that comes back must not end dead transactions before it knows its own partitions, which leaves them open for
# ever (README.md); the workers end theirs within seconds.
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
    """What all cases share."""

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
    """What a scene asks of its brokers."""

    @property
    def bootstrap(self) -> str:
        """Addresses for clients."""
        ...

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create topics, name to number of partitions."""
        ...


def client(bootstrap: str) -> dict[str, str | int | float | bool]:
    """Return the options of the suite's own clients; what they say of a broker that was killed is no news."""
    return {"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 1000}


@contextmanager
def open_stage(
    *, plants: Sequence[str] = (), full: bool = False, client: str = "kafka-python", keep: Path | None = None
) -> Iterator[Stage]:
    """Start the services, and stop them at the end; logs and data stay in the folder `keep`, when given.

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
    def good(self) -> bool:
        """Whether the case holds."""
        return not self.wrong


class Scene:
    """One case's topics, group, keys and workers.

    Args:
        stage: the services.
        name: of the case; makes all names unique.
        delivery: the workers' mode.
        brokers: other ones than the stage's.
    """

    def __init__(
        self, stage: Stage, name: str, *, delivery: str = "exactly_once", brokers: Brokers | None = None
    ) -> None:
        self.stage = stage
        self.brokers = brokers or stage.kafka
        self.name = name
        self.delivery = delivery
        self.random = random.Random(name)  # noqa: S311  (the same stream at each run)
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
        self._healed_at: float | None = None
        self.admin = AdminClient(client(self.brokers.bootstrap))
        self._asker = self._make_asker()
        self._producer = Producer({**client(self.brokers.bootstrap), "linger.ms": 5, "acks": "all"})
        self.store = redis.Redis.from_url(stage.redis.url, decode_responses=True)
        self.create_topics(self.topic, self.ratings, self.letters)

    # The stream

    def create_topics(self, *names: str) -> None:
        """Create topics and wait until they have leaders."""
        self.brokers.create_topics({name: 1 if name == self.letters else PARTITIONS for name in names})

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until the brokers have forgotten it."""
        self.admin.delete_topics([name])[name].result(_ASK_S)
        self.wait(f"{name} is gone", lambda: name not in self.admin.list_topics(timeout=_ASK_S).topics)

    def produce(self, inputs: Iterable[Input], *, wait: bool = True) -> int:
        """Send records; `wait` until the brokers have them. Return how many."""
        count = 0
        for each in inputs:
            self._send(each)
            count += 1
        self.sent += count
        if wait:
            assert self._producer.flush(SETTLE_S) == 0, "the brokers did not take what was produced"
        return count

    def _send(self, each: Input) -> None:
        while True:
            try:
                self._producer.produce(self.topic, each.value, each.key, headers=list(each.headers))
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    # Workers

    def worker(self, name: str, *faults: str, ready: bool = True, **settings: object) -> Worker:
        """Start a worker with these settings over the suite's; `faults` are the launcher's arguments."""
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
        wrong = [*faults, *(f"--plant={plant}" for plant in self.stage.plants)]
        number = sum(each.name.startswith(name) for each in self.workers)
        made = Worker(f"{name}{number or ''}", self.folder, words, port=free_port(), faults=wrong)
        self.workers.append(made)
        if ready:
            made.wait_ready()
        return made

    @property
    def alive(self) -> list[Worker]:
        """The workers that run."""
        return [each for each in self.workers if each.returncode is None]

    def kill(self, worker: Worker) -> None:
        """SIGKILL a worker, and count it."""
        worker.weigh()
        worker.kill()
        self.hurt()

    def hurt(self) -> None:
        """Count a fault; recovery is measured from the last one, or from `healed`."""
        self.kills += 1
        self.healed()

    def healed(self) -> None:
        """What was away is back: recovery is measured from here."""
        self._healed_at = time.monotonic()

    def publish_bundle(self, version: str, *, candidate: str | None = None) -> None:
        """Point the registry's channels at versions: the toy's own, or a copy of it under another name."""
        for each in {version, candidate or version}:
            self._add_bundle(each)
        self._point({STABLE: version, **({"candidate": candidate} if candidate else {})})

    def damage_bundle(self) -> None:
        """Point the channel at a version whose graph is cut in half."""
        self._add_bundle(DAMAGED_VERSION)
        graph = self.registry / DAMAGED_VERSION / MODEL_FILE
        graph.write_bytes(graph.read_bytes()[:1000])
        self._point({STABLE: DAMAGED_VERSION})

    @contextmanager
    def registry_away(self) -> Iterator[None]:
        """Take the registry away for the time of the block."""
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
            said = json.loads(manifest.read_text(encoding="utf-8")) | {"version": version}
            manifest.write_text(json.dumps(said), encoding="utf-8")

    def _point(self, channels: dict[str, str]) -> None:
        beside = self.registry / f".{CHANNELS_FILE}"
        beside.write_text(json.dumps(channels), encoding="utf-8")
        beside.replace(self.registry / CHANNELS_FILE)

    # Waiting

    def wait(self, what: str, probe: Callable[[], bool], timeout_s: float = SETTLE_S) -> None:
        """Wait for an event; a failure names it and shows why the workers are not ready."""

        def look() -> bool:
            if self.workers and not self.alive:
                raise TimeoutError(f"{self.name}: {what}: every worker has ended")
            return probe()

        try:
            wait_until(look, timeout_s, f"{self.name}: {what}")
        except TimeoutError as error:
            state = {each.name: each.reasons if each in self.alive else each.returncode for each in self.workers}
            shown = self.alive or self.workers[-1:]
            tails = "\n".join(f"--- {each.name}\n{each.log[-1500:]}" for each in shown)
            raise AssertionError(f"{error}; lag {self.lag()}, workers: {state}\n{tails}") from error

    def wait_output(self, goal: int, timeout_s: float = SETTLE_S) -> None:
        """Wait until the output topics hold so many records, or all input is settled."""
        self.wait(f"{goal} records of output", lambda: self.published() >= goal or self.lag() == 0, timeout_s)

    def published(self) -> int:
        """Return how many records, open transactions included, the output topics hold; -1 when nobody answers."""
        try:
            return sum(
                end for _, end in map(self._ends, self._partitions(self.ratings) + self._partitions(self.letters))
            )
        except KafkaException:
            return -1

    def lag(self) -> int | None:
        """Return the distance of the committed offsets from the ends of the input; None when nobody can tell."""
        behind = 0
        try:
            for at in self._asker.committed(self._partitions(self.topic), timeout=_ASK_S):
                if at.error is not None:
                    return None
                low, end = self._ends(TopicPartition(at.topic, at.partition))
                behind += end - max(at.offset, low)
        except KafkaException:
            # No broker, or a transaction that is still open holds the answer back, or librdkafka asks a leader that is
            # gone: it learns of the next one only for topics it reads, so ask with a new one.
            self._asker.close()
            self._asker = self._make_asker()
            return None
        return behind

    def _make_asker(self) -> Consumer:
        return Consumer({**client(self.brokers.bootstrap), "group.id": self.group, "enable.auto.commit": False})

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Wait until all that was produced is committed, and note how long that took since the last fault."""
        self.wait("all settled", lambda: self.lag() == 0, timeout_s)
        if self._healed_at is not None:
            self.recovery_s = max(self.recovery_s, time.monotonic() - self._healed_at)
            self._healed_at = None
        for each in self.alive:
            each.weigh()

    def _partitions(self, topic: str) -> list[TopicPartition]:
        count = 1 if topic == self.letters else PARTITIONS
        return [TopicPartition(topic, number) for number in range(count)]

    def _ends(self, at: TopicPartition) -> tuple[int, int]:
        found: tuple[int, int] | None = self._asker.get_watermark_offsets(at, timeout=_ASK_S)
        assert found is not None
        return found

    # The end

    def finish(self) -> Verdict:
        """Settle, stop every worker in order (each must end with 0), and audit."""
        self.settle()
        self.healthy()
        for each in self.alive:
            each.stop()
        self.ledger.read(self.brokers.bootstrap, self.topic)
        topics = (self.ratings, self.letters)
        return audit(self.ledger, self.brokers.bootstrap, topics, self.store, self.prefix)

    def healthy(self) -> None:
        """Check that every running worker says that it is ready and sees no lag."""
        for each in self.alive:
            each.wait("ready in the end", lambda worker: worker.ready)
            each.wait("sees no lag", lambda worker: worker.metric("starstream_consumer_lag_records{") in {0.0})

    def close(self) -> list[str]:
        """End what is left; return what should not have been."""
        for each in self.workers:
            each.end()
        self._asker.close()
        wrong = [f"leaked process {pid}" for pid in self._leaked()]
        for each in self.workers:
            if each.rss_bytes and max(each.rss_bytes) - each.rss_bytes[0] > _GROWTH_BYTES:
                grown = (each.rss_bytes[0] >> 20, max(each.rss_bytes) >> 20)
                wrong += [f"{each.name} grew from {grown[0]} to {grown[1]} MiB"]
        return wrong

    def _leaked(self) -> list[int]:
        """Return processes that carry this scene's group on their command line."""
        leaked = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line: Any = process.info["cmdline"] or []
            if self.group in line and process.info["status"] != psutil.STATUS_ZOMBIE:
                leaked.append(process.pid)
        return leaked
