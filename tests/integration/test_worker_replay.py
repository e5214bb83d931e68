"""`replay` on a real broker and a real Redis: bounded, resumable whatever ends it, beside the live ratings, and right.

A live worker rates 2,000 reviews first; then its ratings are changed in Redis, as if another model had given them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from deploy.kafka import LocalKafka
from deploy.process import ChildProcess, wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION
from tests.doubles import make_rated, make_record, write
from tests.integration.test_worker_dlq import read_topic, send
from worker.clock import SystemClock
from worker.errors import ExitCode
from worker.kafka.offset_range import Span
from worker.kafka.outgoing import Outgoing
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.replay.plan import Plan
from worker.replay.store import ReplayStore
from worker.settings import WorkerSettings

REVIEWS = 2000
UNRATABLE = 20
TEXTS = ("love it", "bad app", "fine thing")
STARS = (5, 1, 3)
SESSION_S = 6  # the brokers' least


class Stage:
    """A stream that was rated live, and the replays of it."""

    def __init__(self, kafka: LocalKafka, server: LocalRedis, folder: Path) -> None:
        name = uuid.uuid4().hex[:8]
        self.name, self.folder, self.bootstrap = name, folder, kafka.bootstrap
        self.reviews, self.ratings, self.letters = f"reviews-{name}", f"ratings-{name}", f"dlq-{name}"
        self.live_prefix = f"live-{name}:"
        self.redis = redis.Redis.from_url(server.url, decode_responses=True)
        self.kafka = kafka
        self._variables = {
            "WORKER_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "WORKER_INPUT_TOPICS": self.reviews,
            "WORKER_OUTPUT_TOPIC": self.ratings,
            "WORKER_DEAD_LETTER_TOPIC": self.letters,
            "WORKER_GROUP_ID": f"live-{name}",
            "WORKER_REDIS_URL": server.url,
            "WORKER_REDIS_PREFIX": self.live_prefix,
            "WORKER_REGISTRY": str(TOY_REGISTRY),
            "WORKER_SESSION_TIMEOUT_S": str(SESSION_S),
            "WORKER_HTTP_PORT": "0",
        }
        kafka.create_topics({self.reviews: 3, self.ratings: 3, self.letters: 1})

    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
        return {**others, **self._variables}

    def start(self, *words: str, **more: str) -> ChildProcess:
        """Start a command; its settings come as variables, through `env`."""
        settings = [f"{name}={value}" for name, value in {**self._variables, **more}.items()]
        log = self.folder / f"{words[0]}-{uuid.uuid4().hex[:4]}.log"
        return ChildProcess(["env", *settings, sys.executable, "-m", "worker", *words], log_path=log, cwd=ROOT)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a replay to its end."""
        command = [sys.executable, "-m", "worker", "replay", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    def words(self, out: str, *more: str, start: str = "earliest") -> list[str]:
        """Return a replay's flags; its topic and its prefix are of one name."""
        where = ["--topic-out", f"{out}-{self.name}", "--redis-prefix", f"{out}-{self.name}:"]
        return ["--from", start, "--version", TOY_VERSION, *where, "--group", f"{out}-{self.name}", *more]

    def out(self, out: str) -> list[Any]:
        return read_topic(self.bootstrap, f"{out}-{self.name}")

    def written(self, out: str) -> int:
        """Return the end offsets of a topic, markers included: cheap to ask again and again."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=None)
        try:
            topic = f"{out}-{self.name}"
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            return sum(consumer.end_offsets(partitions).values())
        finally:
            consumer.close()

    def topic(self, out: str) -> None:
        self.kafka.create_topics({f"{out}-{self.name}": 2})

    def keys(self, prefix: str, family: str = "rating") -> list[str]:
        return sorted(self.redis.scan_iter(match=f"{prefix}{family}:*", count=1000))

    def live(self) -> Mapping[str, Mapping[str, str]]:
        """Return all that is under the live prefix."""
        keys = sorted(self.redis.scan_iter(match=f"{self.live_prefix}*", count=1000))
        return {key: self.hash(key) for key in keys}

    def hash(self, key: str) -> dict[Any, Any]:
        return self.redis.hgetall(key)


def reviews(stage_reviews: str, first: int, count: int) -> Iterator[Outgoing]:
    for number in range(first, first + count):
        text = "kaboom" if number % (REVIEWS // UNRATABLE) == 7 else TEXTS[number % 3]
        value = json.dumps({"text": text, "app_id": f"app{number % 4}"})
        yield Outgoing(stage_reviews, f"r{number}".encode(), value.encode(), [], None)


@pytest.fixture(scope="module")
def stage(kafka: LocalKafka, redis_server: LocalRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(kafka, redis_server, tmp_path_factory.mktemp("replay"))
    send(made.bootstrap, reviews(made.reviews, 0, REVIEWS))
    send(made.bootstrap, [Outgoing(made.reviews, b"r0", None, [], None)])  # deleted again
    # What nobody committed lies at every end, so that no partition ends with a record.
    producer = KafkaProducer(bootstrap_servers=made.bootstrap, transactional_id=made.name)
    producer.init_transactions()
    producer.begin_transaction()
    for partition in range(3):
        producer.send(made.reviews, b"never committed", partition=partition)
    producer.flush()
    producer.abort_transaction()
    producer.close(5)
    worker = made.start("run")
    try:
        rated = REVIEWS - UNRATABLE - 1
        wait_until(lambda: len(made.keys(made.live_prefix)) == rated, PATIENCE_S, f"{rated} live ratings")
    finally:
        assert worker.terminate(PATIENCE_S) == ExitCode.OK, worker.log_tail()
    with made.redis:
        yield made


def assert_all_rated_once(stage: Stage, out: str, times: int = 1) -> None:
    found = stage.out(out)
    counts = Counter(record.key.decode() for record in found if record.value is not None)
    wanted = [f"r{number}" for number in range(REVIEWS) if number % (REVIEWS // UNRATABLE) != 7]
    assert counts == dict.fromkeys(wanted, times)
    for record in found:
        if record.value is not None:
            rating = json.loads(record.value)
            assert rating["rating"] == STARS[int(record.key[1:]) % 3]
            assert (rating["model_version"], rating["source"]["topic"]) == (TOY_VERSION, stage.reviews)
    assert [record.key for record in found if record.value is None] == [b"r0"] * times
    assert len(stage.keys(f"{out}-{stage.name}:")) == len(wanted) - 1


def test_replay_broken_off_twice_rates_each_review_once(stage: Stage) -> None:
    stage.topic("twice")
    before = stage.live()
    words = ["replay", *stage.words("twice"), "--batch-reviews", "5"]  # some 400 transactions
    for ending, more in (("terminate", 300), ("kill", 700)):
        run = stage.start(*words)
        try:
            wait_until(lambda n=more: stage.written("twice") > n, PATIENCE_S, f"{more} offsets of output")  # type: ignore[misc]
        finally:
            code = run.terminate(PATIENCE_S) if ending == "terminate" else run.kill()
        assert code == (ExitCode.INTERRUPTED if ending == "terminate" else -9), run.log_tail()
        assert 0 < len(stage.out("twice")) < REVIEWS - UNRATABLE, "not broken off half-way"
        if ending == "terminate":
            assert "the same command continues from there" in run.log_output
            # What comes after the beginning is not in the plan.
            send(stage.bootstrap, reviews(stage.reviews, 10 * REVIEWS, 50))
    last = stage.run(*stage.words("twice"))
    assert last.returncode == ExitCode.OK, last.stderr
    assert_all_rated_once(stage, "twice")
    assert stage.live() == before
    assert len(read_topic(stage.bootstrap, stage.letters)) == UNRATABLE  # of the live worker, no more
    again = stage.run(*stage.words("twice"), "--json", "-")
    assert json.loads(again.stdout)["this_run"]["rated"] == 0
    assert_all_rated_once(stage, "twice")


def test_diff_tells_how_the_ratings_differ(stage: Stage) -> None:
    stage.topic("diff")
    chosen = [number for number in range(300, 400) if number % (REVIEWS // UNRATABLE) != 7]
    key = {number: f"{stage.live_prefix}rating:{{r{number}}}" for number in chosen}
    kept = {number: stage.hash(key[number]) for number in chosen}
    old, moved, gone = chosen[:60], chosen[60:70], chosen[70:75]
    for number in old:
        stage.redis.hset(key[number], mapping={"rating": 2, "expected_rating": "2.5", "model_version": "older"})
    for number in moved:
        stage.redis.hset(key[number], "source_offset", "999999")
    for number in gone:
        stage.redis.delete(key[number])
    file = stage.folder / "diff.json"
    try:
        done = stage.run(*stage.words("diff"), "--json", str(file), "--to", "2100-01-01")
    finally:
        for number in chosen:
            stage.redis.hset(key[number], mapping=kept[number])
    assert done.returncode == ExitCode.OK, done.stderr
    diff = json.loads(file.read_text())["diff"]
    since = sum(int(record.key[1:]) >= REVIEWS for record in stage.out("diff"))  # another test's, never rated live
    assert (diff["not_live"], diff["moved_on"], diff["other_models"]) == (5 + since, 10, 0)
    older, same = diff["by_live_version"]["older"], diff["by_live_version"][TOY_VERSION]
    assert older["compared"] == 60
    assert older["agreement"] == 0.0
    assert older["confusion"] == {
        "2": {str(star): count for star, count in sorted(Counter(STARS[number % 3] for number in old).items())}
    }
    differences = [float(kept[number]["expected_rating"]) - 2.5 for number in old]
    assert older["mean_expected_difference"] == pytest.approx(sum(differences) / 60)
    assert older["mean_expected_distance"] == pytest.approx(sum(map(abs, differences)) / 60)
    assert (same["agreement"], same["mean_expected_distance"]) == (1.0, 0.0)
    assert same["compared"] == diff["compared"] - 60
    assert diff["compared"] == REVIEWS - UNRATABLE - 1 - 15
    assert diff["agreement"] == pytest.approx(same["compared"] / diff["compared"])
    assert "live model older: 60, agreement 0.0%" in done.stdout


def test_live_keys_are_written_when_asked_and_only_for_the_records_they_hold(stage: Stage) -> None:
    stage.topic("asked")
    chosen = [number for number in range(500, 600) if number % (REVIEWS // UNRATABLE) != 7]
    key = {number: f"{stage.live_prefix}rating:{{r{number}}}" for number in chosen}
    kept = {number: stage.hash(key[number]) for number in chosen}
    old, moved, gone = chosen[:60], chosen[60:70], chosen[70:75]
    for number in [*old, *moved]:
        stage.redis.hset(key[number], mapping={"rating": 2, "expected_rating": "2.5", "model_version": "older"})
    for number in moved:
        stage.redis.hset(key[number], "source_offset", "999999")
    for number in gone:
        stage.redis.delete(key[number])
    try:
        done = stage.run(*stage.words("asked"), "--to", "2100-01-01", "--write-live")
        found = {number: stage.hash(key[number]) for number in chosen}
        again = stage.run(*stage.words("asked"), "--to", "2100-01-01", "--write-live")
        assert {number: stage.hash(key[number]) for number in chosen} == found, "doing it again is doing it once"
    finally:
        for number in chosen:
            stage.redis.hset(key[number], mapping=kept[number])
    assert (done.returncode, again.returncode) == (ExitCode.OK, ExitCode.OK), done.stderr + again.stderr
    for number in [*old, *gone]:
        assert (found[number]["model_version"], found[number]["rating"]) == (TOY_VERSION, str(STARS[number % 3]))
        assert found[number]["source_offset"] == kept[number]["source_offset"]
    for number in old:
        assert found[number]["rated_at"] > kept[number]["rated_at"]
    assert {(found[number]["model_version"], found[number]["rating"]) for number in moved} == {("older", "2")}
    assert "10 kept: sent again since" in done.stderr


def test_bounds_are_kept(stage: Stage) -> None:
    stage.topic("bounds")
    done = stage.run(*stage.words("bounds", "--to", "110", "--json", "-", start="100"))
    assert done.returncode == ExitCode.OK, done.stderr
    sources = [json.loads(record.value)["source"] for record in stage.out("bounds")]
    assert {each["offset"] for each in sources} <= set(range(100, 110))
    assert json.loads(done.stdout)["offsets"] == 30
    assert json.loads(done.stdout)["this_run"]["rated"] == len(sources) > 25


def test_what_does_not_fit_an_earlier_run_is_refused_and_can_begin_again(stage: Stage) -> None:
    stage.topic("again")
    words = stage.words("again", "--to", "20")
    assert stage.run(*words).returncode == ExitCode.OK
    rated = len(stage.out("again"))
    for more, message in (
        (["--to", "30"], "--to 30: this replay was begun with 20"),
        (["--group", f"other-{stage.name}"], f"--group other-{stage.name}: this replay was begun with again-"),
    ):
        refused = stage.run(*words, *more)
        assert (refused.returncode, message in refused.stderr) == (ExitCode.USAGE, True), refused.stderr
    refused = stage.run(*words, "--redis-prefix", f"fresh-{stage.name}:")
    assert (refused.returncode, "has offsets, but nothing under --redis-prefix" in refused.stderr) == (2, True)
    plan = json.loads(str(stage.redis.get(f"again-{stage.name}:replay")))
    stage.redis.set(f"again-{stage.name}:replay", json.dumps({**plan, "version": "v0"}))
    refused = stage.run(*words, "--restart")
    assert (refused.returncode, "holds the ratings of v0" in refused.stderr) == (ExitCode.USAGE, True)
    stage.redis.set(f"again-{stage.name}:replay", json.dumps(plan))
    assert stage.run(*words).returncode == ExitCode.OK
    assert len(stage.out("again")) == rated
    assert stage.run(*words, "--restart").returncode == ExitCode.OK
    assert len(stage.out("again")) == 2 * rated


def test_group_with_another_member_is_waited_for_and_then_left_alone(stage: Stage) -> None:
    stage.topic("busy")
    consumer = KafkaConsumer(
        stage.reviews,
        bootstrap_servers=stage.bootstrap,
        group_id=f"busy-{stage.name}",
        enable_auto_commit=False,
        session_timeout_ms=round(PATIENCE_S * 1000),  # it stays a member however busy the machine is
    )

    def polled(run: ChildProcess, line: str) -> bool:
        consumer.poll(100)
        return line in run.log_output or run.returncode is not None

    try:
        wait_until(lambda: bool(consumer.poll(100) or consumer.assignment()), PATIENCE_S, "the assignment")
        refused = stage.start("replay", *stage.words("busy"))
        wait_until(lambda: polled(refused, "another program reads with it"), PATIENCE_S, "the refusal")
        assert refused.wait() == ExitCode.USAGE, refused.log_tail()
        assert stage.out("busy") == []
        # Long enough for the member to leave, on however busy a machine.
        waiting = stage.start("replay", *stage.words("busy"), WORKER_SESSION_TIMEOUT_S=f"{PATIENCE_S:g}")
        wait_until(lambda: polled(waiting, "waiting for a former member's session"), PATIENCE_S, "the wait")
    finally:
        consumer.close(autocommit=False)
    assert waiting.wait() == ExitCode.OK, waiting.log_tail()
    assert len(stage.out("busy")) >= REVIEWS - UNRATABLE


def test_comparison_keeps_to_its_prefix_whatever_it_holds(redis_server: LocalRedis) -> None:
    name = uuid.uuid4().hex[:8]

    def store(prefix: str) -> ReplayStore:
        settings = WorkerSettings(_env_file=None, redis_url=redis_server.url, redis_prefix=prefix)
        metrics = Metrics(CollectorRegistry())
        return ReplayStore(settings, metrics=metrics, clock=SystemClock(), topic_id=lambda _topic: "")

    rows = [make_rated(f"{{r}}*{number}", 1 + number % 5, record=make_record(offset=number)) for number in range(1200)]
    new, live = store(f"n?[w]*\\{name}:"), store(f"live-{name}:")
    write(new, rows)
    write(live, rows[:1100])
    write(store(f"nxw\\{name}:"), rows[:10])  # what the prefix would match as a pattern
    diff = new.compare("stub-1", f"live-{name}:")
    assert (diff.total.compared, diff.not_live, diff.others, diff.total.agreement) == (1100, 100, 0, 1.0)
    assert (new.compare("stub-2", "").total.compared, new.compare("stub-2", "").others) == (0, 1200)
    assert new.load_plan() is None
    plan = Plan("g", "v", "out", "earliest", "latest", {Partition("t", 0): Span(1, 2)})
    new.save_plan(plan)
    assert new.load_plan() == plan
    for each in (new, live):
        each.close()


def test_replay_at_least_once_rates_all(stage: Stage) -> None:
    stage.topic("least")
    done = stage.run(*stage.words("least", "--to", "100", "--delivery", "at_least_once", "--json", "-"))
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout)["offsets"] == 300
    assert len(stage.out("least")) == json.loads(done.stdout)["this_run"]["rated"] > 280
