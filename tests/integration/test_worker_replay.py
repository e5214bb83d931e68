"""`replay` on a real broker and a real Redis: bounded, resumable whatever ends it, and apart from the live ratings.

A live worker rates 2,000 reviews first; then its ratings are changed in Redis, as if another model had given them.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from kafka import KafkaConsumer
from prometheus_client import CollectorRegistry

from deploy.process import ChildProcess, wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import TOY_VERSION
from tests.doubles import make_rated, make_record, write
from tests.fixtures.joining import join
from tests.fixtures.records import Message, Seen, read_topic, send_aborted
from tests.fixtures.running import Deployment, RunningWorker, completed
from tests.fixtures.shared_kafka import SharedKafka
from worker.clock import SystemClock
from worker.errors import ExitCode
from worker.kafka.offset_range import Span
from worker.kafka.python.assignment import ask_for_forgotten_join
from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.replay.plan import Plan
from worker.replay.store import ReplayStore
from worker.settings import WorkerSettings

REVIEWS = 2000
UNRATABLE = 20
TEXTS = ("love it", "bad app", "fine thing")
STARS = (5, 1, 3)


class Stage(Deployment):
    """A stream that a live worker has rated, and the replays of it."""

    partitions = (3, 3, 1)

    def start(self, *words: str, **more: str) -> ChildProcess:
        """Start a replay; its settings come as variables."""
        log = self.folder / f"replay-{uuid.uuid4().hex[:4]}.log"
        return RunningWorker(["replay", *words], log_path=log, environ=self.environ | more).child

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a replay to its end."""
        return completed("replay", *words, **self.settings)

    def words(self, out: str, *more: str, start: str = "earliest") -> list[str]:
        """Return a replay's flags; its topic and its prefix are of one name."""
        where = ["--topic-out", f"{out}-{self.mark}", "--redis-prefix", f"{out}-{self.mark}:"]
        return ["--from", start, "--version", TOY_VERSION, *where, "--group", f"{out}-{self.mark}", *more]

    def out(self, out: str) -> list[Seen]:
        """Return what a `read_committed` reader of a replay's topic sees now."""
        return list(read_topic(self.kafka.bootstrap, f"{out}-{self.mark}", settled=False))

    def written(self, out: str) -> int:
        """Return the end offsets of a replay's topic, markers included: cheap to ask again and again."""
        return sum(self._ends(TopicPartition(f"{out}-{self.mark}", number))[1] for number in range(2))

    def topic(self, out: str) -> None:
        self.kafka.create_topics({f"{out}-{self.mark}": 2})

    def keys(self, prefix: str, family: str = "rating") -> list[str]:
        return sorted(self.redis.scan_iter(match=f"{prefix}{family}:*", count=1000))

    def live(self) -> Mapping[str, Mapping[str, str]]:
        """Return all that is under the live prefix, but what a worker tries its rights on: that expires."""
        probe = f"{self.prefix}deleted:{{}}"
        keys = sorted(key for key in self.redis.scan_iter(match=f"{self.prefix}*", count=1000) if probe not in key)
        return {key: self.hash(key) for key in keys}

    def hash(self, key: str) -> dict[Any, Any]:
        return self.redis.hgetall(key)


def reviews(first: int, count: int) -> Iterator[Message]:
    for number in range(first, first + count):
        text = "kaboom" if number % (REVIEWS // UNRATABLE) == 7 else TEXTS[number % 3]
        yield Message(json.dumps({"text": text, "app_id": f"app{number % 4}"}).encode(), f"r{number}".encode())


@pytest.fixture(scope="module")
def stage(kafka: SharedKafka, redis_server: LocalRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(kafka, redis_server.url, tmp_path_factory.mktemp("replay")) as made:
        made.produce(*reviews(0, REVIEWS), Message(None, b"r0"))  # the first is deleted again
        # An aborted record lies at every end, so that no partition ends with a record.
        send_aborted(kafka.bootstrap, made.input, range(3))
        worker = made.worker()
        worker.until(lambda: made.lag() == 0, "all rated")
        assert worker.stop() == ExitCode.OK, worker.child.log_tail()
        assert len(made.keys(made.prefix)) == REVIEWS - UNRATABLE - 1
        yield made


def assert_all_rated_once(stage: Stage, out: str, times: int = 1) -> None:
    found = stage.out(out)
    counts = Counter(record.id for record in found if record.value is not None)
    wanted = [f"r{number}" for number in range(REVIEWS) if number % (REVIEWS // UNRATABLE) != 7]
    assert counts == dict.fromkeys(wanted, times)
    for record in found:
        if record.value is not None:
            rating = json.loads(record.value)
            assert rating["rating"] == STARS[int(record.id[1:]) % 3]
            assert (rating["model_version"], rating["source"]["topic"]) == (TOY_VERSION, stage.input)
    assert [record.id for record in found if record.value is None] == ["r0"] * times
    assert len(stage.keys(f"{out}-{stage.mark}:")) == len(wanted) - 1


def test_replay_broken_off_twice_rates_each_review_once(stage: Stage) -> None:
    stage.topic("twice")
    before = stage.live()
    words = [*stage.words("twice"), "--batch-reviews", "5"]  # some 400 transactions
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
            stage.produce(*reviews(10 * REVIEWS, 50))
    last = stage.run(*stage.words("twice"))
    assert last.returncode == ExitCode.OK, last.stderr
    assert_all_rated_once(stage, "twice")
    assert stage.live() == before
    assert len(stage.read(stage.dead)) == UNRATABLE  # of the live worker, no more
    again = stage.run(*stage.words("twice"), "--json", "-")
    assert json.loads(again.stdout)["this_run"]["rated"] == 0
    assert_all_rated_once(stage, "twice")


def test_diff_tells_how_the_ratings_differ(stage: Stage) -> None:
    stage.topic("diff")
    chosen = [number for number in range(300, 400) if number % (REVIEWS // UNRATABLE) != 7]
    key = {number: f"{stage.prefix}rating:{{r{number}}}" for number in chosen}
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
    since = sum(int(record.id[1:]) >= REVIEWS for record in stage.out("diff"))  # another test's, never rated live
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
    key = {number: f"{stage.prefix}rating:{{r{number}}}" for number in chosen}
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
    sources = [json.loads(record.value or b"")["source"] for record in stage.out("bounds")]
    assert {source["offset"] for source in sources} <= set(range(100, 110))
    assert json.loads(done.stdout)["offsets"] == 30
    assert json.loads(done.stdout)["this_run"]["rated"] == len(sources) > 25


def test_what_does_not_fit_an_earlier_run_is_refused_and_can_begin_again(stage: Stage) -> None:
    """What else does not fit is in tests/unit/worker/replay/test_plan.py."""
    stage.topic("again")
    words = stage.words("again", "--to", "20")
    assert stage.run(*words).returncode == ExitCode.OK
    rated = len(stage.out("again"))
    refused = stage.run(*words, "--to", "30")
    assert refused.returncode == ExitCode.USAGE, refused.stderr
    assert "--to 30: this replay was begun with 20" in refused.stderr
    assert len(stage.out("again")) == rated
    assert stage.run(*words, "--restart").returncode == ExitCode.OK
    assert len(stage.out("again")) == 2 * rated


def test_group_with_another_member_is_waited_for_and_then_left_alone(stage: Stage) -> None:
    stage.topic("busy")
    consumer = KafkaConsumer(
        stage.input,
        bootstrap_servers=stage.kafka.bootstrap,
        group_id=f"busy-{stage.mark}",
        enable_auto_commit=False,
        session_timeout_ms=60_000,  # it stays a member on a busy machine
        max_poll_interval_ms=60_000,  # and the brokers wait no longer for one whose joining they lost
    )

    def polled(run: ChildProcess, line: str) -> bool:
        ask_for_forgotten_join(consumer)
        consumer.poll(100)
        return line in run.log_output or run.returncode is not None

    try:
        join(consumer)
        refused = stage.start(*stage.words("busy"))
        wait_until(lambda: polled(refused, "another program reads with it"), PATIENCE_S, "the refusal")
        assert refused.wait() == ExitCode.USAGE, refused.log_tail()
        assert stage.out("busy") == []
        # Long enough for the member to leave, on however busy a machine.
        waiting = stage.start(*stage.words("busy"), WORKER_SESSION_TIMEOUT_S=f"{PATIENCE_S:g}")
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
    new.close()
    live.close()


def test_replay_at_least_once_rates_all(stage: Stage) -> None:
    stage.topic("least")
    done = stage.run(*stage.words("least", "--to", "100", "--delivery", "at_least_once", "--json", "-"))
    assert done.returncode == ExitCode.OK, done.stderr
    assert json.loads(done.stdout)["offsets"] == 300
    assert len(stage.out("least")) == json.loads(done.stdout)["this_run"]["rated"] > 280
