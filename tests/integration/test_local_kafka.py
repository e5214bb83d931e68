"""The local Kafka: what tests, chaos, benchmarks and the demo rely on, tried with kafka-python and with kcat.

The session's broker serves all; a test that ends it starts it again.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.structs import OffsetAndMetadata

from deploy.kafka import DownloadFailed, KafkaUnavailable, LocalKafka, TopicsFailed
from deploy.kafka.embedded import EmbeddedKafka
from deploy.kafka.jars import cache_dir, ensure_jars, find_java, find_maven
from deploy.kafka.probe import broker_answers
from deploy.process import LOOPBACK, ServiceUnavailable, StartFailed, alive, free_port, wait_until
from tests import PATIENCE_S
from tests.conftest import missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def _installed() -> None:
    try:
        find_java(os.environ)
        ensure_jars(cache_dir(os.environ), os.environ)
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))


@pytest.fixture
def broker(kafka: LocalKafka) -> Iterator[LocalKafka]:
    """The session's broker, running before and after the test."""
    yield kafka
    kafka.start()


def send(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    try:
        for value in values:
            producer.send(topic, value).get(timeout=PATIENCE_S)
    finally:
        producer.close(5)


def receive(bootstrap: str, topic: str, count: int, timeout_s: float = 20.0) -> list[bytes]:
    """Read `topic` from its beginning until `count` records came."""
    values: list[bytes] = []
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest",
        isolation_level="read_committed",
    )  # fmt: skip

    def enough() -> bool:
        for records in consumer.poll(200).values():
            values.extend(record.value for record in records)
        return len(values) >= count

    try:
        wait_until(enough, timeout_s, f"{count} records in {topic}, {len(values)} came")
    finally:
        consumer.close()
    return values


def kcat(bootstrap: str, *arguments: str, code: int = 0) -> list[str]:
    """Run kcat, which must end with exit code `code`; return the lines it printed."""
    program = shutil.which("kcat")
    if program is None:
        missing("kcat is not installed (Debian: kcat)")
    done = subprocess.run(
        [program, "-b", bootstrap, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines()


def test_written_record_is_read_by_kafka_python_and_by_kcat(broker: LocalKafka) -> None:
    broker.create_topics({"both": 1})
    send(broker.bootstrap, "both", "great app 🎉".encode())
    assert receive(broker.bootstrap, "both", 1) == ["great app 🎉".encode()]
    assert kcat(broker.bootstrap, "-C", "-t", "both", "-o", "beginning", "-e", "-q") == ["great app 🎉"]


def test_topics_have_their_partitions_and_leaders_at_once(broker: LocalKafka) -> None:
    broker.create_topics({"wide": 7}, {"cleanup.policy": "compact"})
    lines = [line for line in kcat(broker.bootstrap, "-L", "-t", "wide") if "partition " in line]
    assert len(lines) == 7
    assert all("leader 1" in line for line in lines)


def test_topic_that_exists_is_left_alone(broker: LocalKafka) -> None:
    broker.create_topics({"six": 6})
    broker.create_topics({"six": 6})
    with pytest.raises(TopicsFailed, match=r"six exists with 6 partitions, not 3"):
        broker.create_topics({"six": 3})


def test_topic_the_broker_refuses_is_named(broker: LocalKafka) -> None:
    with pytest.raises(TopicsFailed, match="no/slash"):
        broker.create_topics({"no/slash": 1})


def test_unknown_topic_is_not_created_by_its_use(broker: LocalKafka) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_block_ms=1000)
    with pytest.raises(KafkaTimeoutError):
        producer.send("misspelt", b"lost?")
    producer.close(5)
    assert any("Unknown topic" in line for line in kcat(broker.bootstrap, "-L", "-t", "misspelt"))


def test_transaction_commits_records_and_offsets_together(broker: LocalKafka) -> None:
    broker.create_topics({"in": 1, "out": 1})
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="t1", retry_backoff_ms=10)
    # Markers are written after commit_transaction() returns; read_committed makes committed() wait for them.
    consumer = KafkaConsumer(
        "in", bootstrap_servers=broker.bootstrap, group_id="g1", enable_auto_commit=False,
        isolation_level="read_committed",
    )  # fmt: skip
    try:
        producer.init_transactions()
        wait_until(lambda: bool(consumer.poll(200) or consumer.assignment()), PATIENCE_S, "the assignment")
        partition = TopicPartition("in", 0)
        for value, end in ((b"aborted", producer.abort_transaction), (b"kept", producer.commit_transaction)):
            producer.begin_transaction()
            producer.send("out", value)
            offsets = {partition: OffsetAndMetadata(3, "", -1)}
            producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
            end()
        assert consumer.committed(partition, timeout_ms=5000) == 3
    finally:
        consumer.close()
        producer.close(5)
    assert receive(broker.bootstrap, "out", 1) == [b"kept"]


def test_restart_keeps_address_and_records(broker: LocalKafka) -> None:
    broker.create_topics({"kept": 1})
    send(broker.bootstrap, "kept", b"before")
    address, pid = broker.bootstrap, broker.pid
    broker.restart()
    assert (broker.bootstrap, broker.pid != pid) == (address, True)
    send(broker.bootstrap, "kept", b"after")
    assert receive(broker.bootstrap, "kept", 2) == [b"before", b"after"]


def test_crash_keeps_acknowledged_records(broker: LocalKafka) -> None:
    broker.create_topics({"crashed": 1})
    send(broker.bootstrap, "crashed", b"before")
    pid = broker.pid
    broker.kill()
    assert not alive(pid)
    assert not broker_answers(broker.port)
    broker.start()
    send(broker.bootstrap, "crashed", b"after")
    assert receive(broker.bootstrap, "crashed", 2) == [b"before", b"after"]


def test_paused_broker_does_not_answer_until_resumed(broker: LocalKafka) -> None:
    broker.suspend()
    assert not broker_answers(broker.port, timeout_s=0.3)
    broker.resume()
    wait_until(lambda: broker_answers(broker.port), PATIENCE_S, "the resumed broker's answer")


def test_second_broker_on_a_taken_port_is_refused(broker: LocalKafka) -> None:
    second = LocalKafka(port=broker.port)
    with pytest.raises(StartFailed, match=f"port {broker.port} is taken"):
        second.start()
    second.close()


@pytest.mark.usefixtures("_installed")
def test_added_listener_checks_passwords_and_paths_may_hold_anything(tmp_path: Path) -> None:
    port = free_port()
    listener = f"SASL_PLAINTEXT://{LOOPBACK}:{port}"
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="sésame";'
    extra = {
        "listeners": listener,
        "advertised.listeners": listener,
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
    }
    login_words = ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", "sasl.username=ann", "sasl.password="]
    with LocalKafka(data_dir=tmp_path / "données = 🎉", extra_properties=extra) as secured:
        pid = secured.pid
        secured.create_topics({"reviews": 1})
        producer = KafkaProducer(
            bootstrap_servers=f"{LOOPBACK}:{port}", security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN",
            sasl_plain_username="ann", sasl_plain_password="sésame",
        )  # fmt: skip
        producer.send("reviews", b"great").get(timeout=PATIENCE_S)
        producer.close(5)
        # A refused login is tried with kcat: a kafka-python constructor that fails leaves its sockets open.
        for password, code in (("sésame", 0), ("wrong", 1)):
            options = [word for setting in login_words for word in ("-X", setting)]
            options[-1] += password
            kcat(f"{LOOPBACK}:{port}", "-L", "-m", "3", *options, code=code)
    assert not alive(pid)


def test_java_absent_says_what_to_install() -> None:
    with pytest.raises(KafkaUnavailable, match=r"no `java` on PATH: install a JDK or JRE 17 or newer"):
        find_java({"PATH": ""})


@pytest.mark.parametrize("version", ["11.0.26", "1.8.0_442"])
def test_java_too_old_is_named_with_what_is_needed(tmp_path: Path, version: str) -> None:
    program(tmp_path / "bin" / "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(KafkaUnavailable, match=r"is Java (11|8), Kafka [\d.]+ needs 17"):
        find_java({"JAVA_HOME": str(tmp_path)})


def test_broker_without_java_does_not_start(tmp_path: Path) -> None:
    broker = LocalKafka(data_dir=tmp_path, environ={"PATH": ""})
    with pytest.raises(KafkaUnavailable, match="install a JDK"):
        broker.start()


def test_maven_absent_says_it_is_needed_once(tmp_path: Path) -> None:
    with pytest.raises(KafkaUnavailable, match=r"no `mvn` on PATH.*needed once"):
        ensure_jars(tmp_path, {"PATH": ""})


def test_failed_download_tells_the_end_of_mavens_output_and_leaves_nothing(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    with pytest.raises(DownloadFailed, match=r"exit code 1[\s\S]*Could not transfer artifact"):
        ensure_jars(tmp_path / "cache", {"PATH": str(tmp_path / "bin")})
    assert [path.name for path in (tmp_path / "cache").glob("*/*")] == ["lock"]


@pytest.mark.usefixtures("_installed")
def test_two_downloads_at_once_make_one_complete_cache(tmp_path: Path) -> None:
    try:
        find_maven(os.environ)
    except KafkaUnavailable as unavailable:
        missing(str(unavailable))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ensure_jars(tmp_path, os.environ), range(2))
    assert first == second
    assert any(first.glob("kafka_2.13-*.jar"))
    assert any(first.glob("slf4j-simple-*.jar"))
    assert {path.name for path in first.parent.iterdir()} == {"libs", "lock"}


@pytest.mark.usefixtures("_installed")
def test_broker_that_cannot_start_shows_its_log() -> None:
    broker = LocalKafka(jvm_flags=["-Xmx1k"])
    with pytest.raises(StartFailed, match=r"java ended with exit code 1[\s\S]*heap"):
        broker.start()
    broker.close()


@pytest.mark.usefixtures("_installed")
def test_wrong_setting_is_told_when_the_storage_is_formatted() -> None:
    broker = LocalKafka(extra_properties={"num.io.threads": "many"})
    with pytest.raises(StartFailed, match=r"num\.io\.threads"):
        broker.start()
    broker.close()


@pytest.mark.usefixtures("_installed")
def test_command_stops_its_broker_on_sigterm(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "deploy.kafka", "--data-dir", str(tmp_path), "--port", str(free_port())]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as foreground:
        assert foreground.stdout is not None
        started = re.search(r"\(pid (\d+)\) answers at", foreground.stdout.readline())
        assert started is not None
        foreground.send_signal(signal.SIGTERM)
        assert foreground.wait(PATIENCE_S) == 0
    assert not alive(int(started[1]))


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


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    service = EmbeddedKafka()
    try:
        service.start()
    except ServiceUnavailable as unavailable:
        missing(str(unavailable))
    with service:
        yield service


def subscribed(service: EmbeddedKafka, topic: str, **options: Any) -> KafkaConsumer:
    """Return a consumer that knows its partitions before it subscribes, as the worker's does."""
    consumer = KafkaConsumer(bootstrap_servers=service.bootstrap, api_version=service.api_version, **options)
    assert consumer.partitions_for_topic(topic) == set(range(service.partitions))
    consumer.subscribe([topic])
    return consumer


def test_stand_in_delivers_to_one_group_member_that_commits(embedded: EmbeddedKafka) -> None:
    client = {"bootstrap_servers": embedded.bootstrap, "api_version": embedded.api_version}
    producer = KafkaProducer(**client)
    for value in (b"one", b"two"):
        producer.send("reviews", value, partition=0).get(timeout=PATIENCE_S)
    producer.close(5)
    group = {"group_id": "g", "auto_offset_reset": "earliest", "enable_auto_commit": False}
    consumer = subscribed(embedded, "reviews", **group, **embedded.group_options)
    values: list[bytes] = []

    def enough() -> bool:
        for records in consumer.poll(200).values():
            values.extend(record.value for record in records)
        return len(values) == 2

    wait_until(enough, PATIENCE_S, "both records")
    consumer.commit()
    assert values == [b"one", b"two"]
    assert len(consumer.assignment()) == embedded.partitions
    assert consumer.committed(TopicPartition("reviews", 0)) == 2
    consumer.close()


def test_stand_in_stops_and_starts_empty_elsewhere(embedded: EmbeddedKafka) -> None:
    address, pid = embedded.bootstrap, embedded.pid
    embedded.stop()
    assert embedded.child.returncode == 0
    assert not alive(pid)
    embedded.start()
    assert embedded.bootstrap != address


def test_stand_in_needs_its_extra() -> None:
    done = subprocess.run(  # -S leaves out site-packages, and with it confluent-kafka
        [sys.executable, "-S", "-m", "deploy.kafka.embedded"],
        cwd=ROOT, env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "[embedded]" in done.stderr) == (69, True)


def test_stand_in_proves_nothing_about_transactions(embedded: EmbeddedKafka) -> None:
    """README says so; when librdkafka learns them, say so there."""
    client = {"bootstrap_servers": embedded.bootstrap, "api_version": embedded.api_version}
    producer = KafkaProducer(**client, transactional_id="t1")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send("ratings", b"aborted", partition=0).get(timeout=PATIENCE_S)
    producer.abort_transaction()
    producer.close(5)
    consumer = subscribed(embedded, "ratings", auto_offset_reset="earliest", isolation_level="read_committed")
    values: list[bytes] = []

    def seen() -> bool:
        for records in consumer.poll(200).values():
            values.extend(record.value for record in records)
        return bool(values)

    wait_until(seen, PATIENCE_S, "the aborted record")
    consumer.close()
    assert values == [b"aborted"]
