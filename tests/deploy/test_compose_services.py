"""The broker and the Redis of docker-compose.yml, started for real from its own variables and commands, without Docker.

Only what a container provides is replaced: host names, ports and folders. test_compose_stack.py starts them all as one.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient

from deploy.kafka.topics import create_topics
from deploy.process import LOOPBACK, wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import serving
from tests.deploy.assets import compose
from tests.deploy.compose_kafka import ComposeKafka
from worker.settings import read_settings

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
TOPIC_TOOL = "/opt/kafka/bin/kafka-topics.sh"


def requested_topics(folder: Path) -> dict[str, dict[str, str]]:
    """Run the `topics` service's script with a stub tool that records its arguments; return the options by topic."""
    service = SERVICES["topics"]
    (script,) = service["command"]
    stub, notes = folder / "kafka-topics.sh", folder / "calls"
    stub.write_text(f'#!/bin/sh\necho "$*" >> "{notes}"\n', encoding="utf-8")
    stub.chmod(0o755)
    subprocess.run([*service["entrypoint"], script.replace(TOPIC_TOOL, str(stub))], check=True, timeout=PATIENCE_S)
    found = {}
    for call in notes.read_text(encoding="utf-8").splitlines():
        assert call.startswith("--bootstrap-server kafka:9092 --create --if-not-exists ")
        options = dict(itertools.pairwise(call.split()))
        assert options["--replication-factor"] == "1"
        found[options["--topic"]] = options
    return found


@pytest.fixture(scope="module")
def broker() -> Iterator[ComposeKafka]:
    with serving(ComposeKafka()) as server:
        yield server


def test_compose_creates_the_topics_the_worker_uses(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del clean_environment
    settings = read_settings(None)
    found = requested_topics(tmp_path)
    partitions = {settings.input_topics[0]: "6", settings.output_topic: "6", settings.dead_letter_topic: "1"}
    assert {name: options["--partitions"] for name, options in found.items()} == partitions
    assert found[settings.dead_letter_topic]["--config"] == "retention.ms=-1"
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_compose_broker_accepts_the_topics_of_the_topics_service(broker: ComposeKafka, tmp_path: Path) -> None:
    topics = {name: int(options["--partitions"]) for name, options in requested_topics(tmp_path).items()}
    create_topics(f"{LOOPBACK}:{broker.host_port}", topics)
    with KafkaAdminClient(bootstrap_servers=f"{LOOPBACK}:{broker.host_port}") as admin:
        found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
    assert {name: count for name, count in found.items() if not name.startswith("__")} == topics
    assert topics == {"reviews": 6, "ratings": 6, "reviews.dlq": 1}


def test_compose_broker_serves_transactions_to_clients_on_the_host(broker: ComposeKafka) -> None:
    bootstrap = f"{LOOPBACK}:{broker.host_port}"
    create_topics(bootstrap, {"reviews": 6})
    with KafkaProducer(bootstrap_servers=bootstrap, transactional_id="compose") as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send("reviews", key=b"my-id", value="love it ♥".encode())
        producer.commit_transaction()
    options = {"auto_offset_reset": "earliest", "isolation_level": "read_committed", "group_id": "compose"}
    with KafkaConsumer("reviews", bootstrap_servers=bootstrap, **options) as consumer:
        read: list[bytes] = []

        def received() -> bool:
            read.extend(record.value for batch in consumer.poll(timeout_ms=10_000).values() for record in batch)
            return bool(read)

        wait_until(received, PATIENCE_S, "the committed review")
    assert read == ["love it ♥".encode()]


def fill(client: redis.Redis, ratings: int) -> None:
    for number in range(ratings):
        client.set(f"rating:{{{number}}}", "x" * 1_000)


def test_compose_redis_refuses_writes_when_full_and_evicts_nothing(tmp_path: Path) -> None:
    program, *arguments = SERVICES["redis"]["command"]
    assert program == "redis-server"
    with (
        serving(LocalRedis(data_dir=tmp_path, extra_args=[*arguments, "--maxmemory", "3mb"])) as server,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        settings = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
        assert settings == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        client.set("rating:{first}", "5")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            fill(client, 10_000)
        assert client.get("rating:{first}") == "5"
