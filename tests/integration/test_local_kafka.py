"""The local Kafka: what tests, chaos, benchmarks and the demo rely on, tried with kcat and kafka-python.

One broker serves all; a test that ends it starts it again.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from redis import Redis
from rich.console import Console

from deploy.demo.history import APPS, DROPS, show_history
from deploy.demo.outcome import committed, ratings_in_redis
from deploy.demo.stack import running
from deploy.kafka import DownloadFailed, KafkaUnavailable, LocalKafka, TopicsFailed
from deploy.kafka.broker import broker_answers
from deploy.kafka.embedded import EmbeddedKafka
from deploy.kafka.jars import ensure_jars, find_java
from deploy.process import StartFailed, free_port, wait_until
from tests import PATIENCE_S
from tests.conftest import TOY_REGISTRY, missing, serving

ROOT = Path(__file__).parents[2]


def kcat(bootstrap: str, *arguments: str, code: int = 0, stdin: str = "") -> list[str]:
    """Run kcat, which must end with exit code `code`; return the lines it printed."""
    program = shutil.which("kcat")
    if program is None:
        missing("kcat is not installed (Debian: kcat)")
    done = subprocess.run(
        [program, "-b", bootstrap, *arguments],
        input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines()


def test_topics_have_their_partitions_and_leaders_at_once(stoppable_kafka: LocalKafka) -> None:
    kafka = stoppable_kafka
    kafka.create_topics({"wide": 7}, {"cleanup.policy": "compact"})
    lines = [line for line in kcat(kafka.bootstrap, "-L", "-t", "wide") if "partition " in line]
    assert len(lines) == 7
    assert all("leader 1" in line for line in lines)
    kafka.create_topics({"wide": 7})
    with pytest.raises(TopicsFailed, match=r"wide exists with 7 partitions, not 3"):
        kafka.create_topics({"wide": 3})
    with pytest.raises(TopicsFailed, match="no/slash"):
        kafka.create_topics({"no/slash": 1})


def test_restart_and_crash_keep_address_and_records(stoppable_kafka: LocalKafka) -> None:
    stoppable_kafka.create_topics({"kept": 1})
    written: list[str] = []
    address = stoppable_kafka.bootstrap
    for end in (stoppable_kafka.stop, stoppable_kafka.kill):
        written.append(f"before {end.__name__} 🎉")
        kcat(address, "-P", "-t", "kept", "-X", "acks=all", stdin=written[-1])
        pid = stoppable_kafka.pid
        end()
        assert not psutil.pid_exists(pid)
        assert not broker_answers(stoppable_kafka.port)
        stoppable_kafka.start()
    assert kcat(address, "-C", "-t", "kept", "-o", "beginning", "-c", "2", "-q") == written


def test_suspended_broker_does_not_answer_until_resumed(stoppable_kafka: LocalKafka) -> None:
    stoppable_kafka.suspend()
    assert not broker_answers(stoppable_kafka.port, timeout_s=0.3)
    stoppable_kafka.resume()
    wait_until(lambda: broker_answers(stoppable_kafka.port), PATIENCE_S, "the resumed broker's answer")


def test_java_absent_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(KafkaUnavailable, match=r"no `java` on PATH: install a JDK or JRE 17 or newer"):
        LocalKafka(data_dir=tmp_path, environ={"PATH": ""}).start()


@pytest.mark.parametrize("version", ["11.0.26", "1.8.0_442"])
def test_java_too_old_is_named_with_what_is_needed(tmp_path: Path, version: str) -> None:
    program(tmp_path / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(KafkaUnavailable, match=r"is Java (11|8), Kafka [\d.]+ needs 17"):
        find_java({"JAVA_HOME": str(tmp_path)})


def test_maven_absent_says_it_is_needed_once(tmp_path: Path) -> None:
    with pytest.raises(KafkaUnavailable, match=r"no `mvn` on PATH.*needed once"):
        ensure_jars(tmp_path, {"PATH": ""})


def test_failed_download_shows_the_end_of_mavens_output_and_leaves_nothing(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    with pytest.raises(DownloadFailed, match=r"exit code 1[\s\S]*Could not transfer artifact"):
        ensure_jars(tmp_path / "cache", {"PATH": str(tmp_path / "bin")})
    assert [path.name for path in (tmp_path / "cache").glob("*/*")] == ["lock"]


@pytest.mark.usefixtures("kafka")
def test_two_downloads_at_once_make_one_complete_cache(tmp_path: Path) -> None:
    if shutil.which("mvn") is None:
        missing("no `mvn` on PATH")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ensure_jars(tmp_path, os.environ), range(2))
    assert first == second
    assert any(first.glob("kafka_2.13-*.jar"))
    assert any(first.glob("slf4j-simple-*.jar"))
    assert {path.name for path in first.parent.iterdir()} == {"libs", "lock"}


@pytest.mark.usefixtures("kafka")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jvm_flags": ["-Xmx1k"]}, r"ended with exit code 1[\s\S]*heap"),
        ({"extra_properties": {"num.io.threads": "many"}}, r"num\.io\.threads"),  # when the storage is formatted
    ],
)
def test_broker_that_cannot_start_shows_its_output(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=message):
        LocalKafka(data_dir=tmp_path, **options).start()


@pytest.mark.usefixtures("kafka")
def test_command_stops_its_broker_on_sigterm(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "deploy.kafka", "--data-dir", str(tmp_path), "--port", str(free_port())]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as foreground:
        assert foreground.stdout is not None
        started = re.search(r"\(pid (\d+)\) answers at", foreground.stdout.readline())
        assert started is not None
        foreground.send_signal(signal.SIGTERM)
        assert foreground.wait(PATIENCE_S) == 0
    assert not psutil.pid_exists(int(started[1]))


def test_command_without_java_has_its_own_exit_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.kafka", "--data-dir", str(tmp_path)],
        cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "install a JDK" in done.stderr) == (69, True)


def program(path: Path, body: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_stand_in_delivers_to_one_group_member_and_proves_nothing_about_transactions() -> None:
    """README says so; when librdkafka aborts transactions, say so there."""
    with serving(EmbeddedKafka()) as embedded:
        client = {"bootstrap_servers": embedded.bootstrap, "api_version": embedded.api_version}
        with KafkaProducer(**client, transactional_id="t1") as producer:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send("reviews", b"aborted", partition=0).get(timeout=PATIENCE_S)
            producer.abort_transaction()
        options = {"group_id": "g", "auto_offset_reset": "earliest", "isolation_level": "read_committed"}
        consumer = KafkaConsumer(**client, **options, **embedded.group_options, enable_auto_commit=False)
        # Before it subscribes, as the worker does: see deploy/kafka/embedded.py.
        assert consumer.partitions_for_topic("reviews") == set(range(embedded.partitions))
        consumer.subscribe(["reviews"])
        values: list[bytes] = []

        def received() -> bool:
            # Longer than a join takes: kafka-python forgets one that ends between two polls, and 200 ms divide the
            # stand-in's 5 s, so that each would (the worker waits for it: `KafkaSource._poll`).
            for records in consumer.poll(10_000).values():
                values.extend(record.value for record in records)
            return bool(values)

        wait_until(received, PATIENCE_S, "the aborted record")
        consumer.commit()
        assert values == [b"aborted"]
        assert len(consumer.assignment()) == embedded.partitions
        assert consumer.committed(TopicPartition("reviews", 0)) == 1
        consumer.close()
        embedded.stop()
        assert embedded.child.returncode == 0


def test_the_demo_runs_on_the_stand_in_where_there_is_no_java_and_counts_its_history_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = shutil.which("redis-server")
    if redis is None:
        missing("redis-server is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "redis-server").symlink_to(redis)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    said = io.StringIO()
    rows = [f"{'good' if star > 3 else 'bad'} number {n} of {star},{star}" for star in range(1, 6) for n in range(100)]
    sample = tmp_path / "sample.csv"
    sample.write_text("\n".join(["content,score", *rows]))
    console, settings = Console(file=said, width=200), {"WORKER_APP_METRICS": ",".join(APPS)}
    with running(TOY_REGISTRY, tmp_path / "worker.log", console, settings) as stack:
        assert "embedded stand-in, at-least-once" in said.getvalue()
        with KafkaProducer(**stack.client_options) as producer:
            producer.send("reviews", b"good", key=b"r-1")
        wait_until(lambda: bool(ratings_in_redis(stack, ["r-1"])), PATIENCE_S, "a rating")
        assert [record.key for record in committed(stack, "ratings")] == [b"r-1"]
        assert show_history(console, stack, sample), said.getvalue()
        assert said.getvalue().count("equal a recount of") == 2
        with Redis.from_url(stack.redis_url) as client:
            client.hincrby(next(client.scan_iter(f"trend:{{{DROPS}}}:*")), "00:1.0:1", 1)
        assert not show_history(console, stack, sample)
        assert "rows differ from a recount of the topic" in said.getvalue()
