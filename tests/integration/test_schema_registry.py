"""Records in a schema registry's wire format through a real broker, with either client and in `collect`.

The registry is a stand-in (`tests/fixtures/schema_registry.py`): no registry server was run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.records import Message
from tests.fixtures.running import Deployment
from tests.fixtures.schema_registry import RegistryOverHttp, avro_value, mock_client
from trainer.__main__ import main
from trainer.errors import Exit
from worker.__main__ import main as worker_main

ROW = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "key", "type": "string"},
        {"name": "comment", "type": "string"},
        {"name": "grade", "type": ["null", "int"]},
    ],
}
FIELDS = {"text_field": "comment", "id_field": "key", "score_field": "grade"}


@pytest.fixture
def registry() -> Iterator[RegistryOverHttp]:
    with RegistryOverHttp() as made:
        yield made


def row(registry: RegistryOverHttp, name: str, comment: str, grade: int | None = None) -> Message:
    """Return a record as confluent-kafka's own serializer makes it."""
    value = {"key": name, "comment": comment, "grade": grade}
    return Message(avro_value(registry.client, "reviews", ROW, value), b"\0\0\0\0\x63\x04k1", partition=0)


def avro_settings(registry: RegistryOverHttp, **more: Any) -> dict[str, Any]:
    return {"input_format": "avro", "schema_registry_url": registry.url, **FIELDS, **more}


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_avro_is_rated_an_outage_of_the_registry_is_waited_for_and_other_bytes_are_dead_letters(
    deployment: Deployment, registry: RegistryOverHttp, client: str
) -> None:
    good = row(registry, "r1", "love it", 5), row(registry, "r2", "bad")
    registry.stop()
    worker = deployment.worker(**avro_settings(registry, kafka_client=client)).ready()
    deployment.produce(*good)
    worker.until(lambda: "Connection refused" in worker.reasons.get("schema_registry", ""), "it says what it waits for")
    assert deployment.stored_ids() == set()
    registry.start()
    worker.until(lambda: deployment.stored_ids() == {"r1", "r2"}, "all are rated")
    worker.ready()
    assert (deployment.stored("r1")["rating"], deployment.stored("r2")["rating"]) == ("5", "1")
    foreign = mock_client()
    for schema in ({"type": "string"}, {"type": "int"}):  # of another registry: its second id is unknown here
        unknown = avro_value(foreign, "reviews", schema, "love it" if schema["type"] == "string" else 5)
    deployment.produce(Message(b'{"text": "love it"}', partition=0), Message(unknown, partition=0))
    worker.until(lambda: worker.total("starstream_reviews_rejected_total") == 2, "both are dead letters")
    letters = deployment.read(deployment.dead)
    assert [letter.header("starstream-reason") for letter in letters] == ["wrong_type", "unknown_schema"]
    assert "WORKER_INPUT_FORMAT=auto" in letters[0].header("__connect.errors.exception.message")
    assert "schema 2 is not in the registry" in letters[1].header("__connect.errors.exception.message")


@pytest.mark.parametrize(("form", "client"), [("avro", "confluent"), ("json_schema", "kafka-python")])
def test_ratings_are_published_with_a_schema_and_our_own_readers_read_them(
    deployment: Deployment, registry: RegistryOverHttp, form: str, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"output_format": form, "schema_registry_url": registry.url, "kafka_client": client}
    registry.stop()
    worker = deployment.worker(**settings)
    deployment.produce(Message(b'{"review_id": "r1", "text": "love it", "score": 4}'), Message(b"bad", b"r2"))
    worker.until(lambda: "schema_registry" in worker.reasons, "it says what it waits for")
    registry.start()
    worker.ready()
    worker.until(lambda: deployment.lag() == 0, "all are committed")
    assert registry.client.get_subjects() == [f"{deployment.output}-value"]
    published = deployment.read(deployment.output)
    assert {record.id for record in published} == {"r1", "r2"}
    assert all((record.value or b"").startswith(b"\0\0\0\0\1") for record in published)
    assert worker.stop() == 0
    flags = deployment.flags(**settings)
    assert worker_main(["watch", "--last", "9", "--count", "2", "--json", *flags]) == 0
    shown = {found["review_id"]: found for found in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (shown["r1"]["author_score"], shown["r2"]["rating"]) == (4.0, 1)
    stored = {name: deployment.stored(name) for name in ("r1", "r2")}
    deployment.redis.delete(*deployment.redis.keys(f"{deployment.prefix}*"))
    assert worker_main(["restore", *flags]) == 0
    for name, before in stored.items():
        after = deployment.stored(name)
        assert {**after, "source_topic_id": ""} == {**before, "source_topic_id": ""}


def test_json_with_a_schema_id_needs_no_registry(deployment: Deployment) -> None:
    worker = deployment.worker(input_format="json_schema").ready()
    value = json.dumps({"review_id": "r1", "text": "love it"}).encode()
    deployment.produce(Message(b"\0\0\0\0\x07" + value), Message(value))
    worker.until(lambda: worker.total("starstream_reviews_settled_total") == 2, "both are settled")
    assert deployment.stored_ids() == {"r1"}


def test_collect_reads_avro(
    deployment: Deployment, registry: RegistryOverHttp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stars = Message(b'{"review_id": "r2", "score": 1}', topic=deployment.output)
    deployment.produce(row(registry, "r1", "love it", 5), row(registry, "r2", "bad"), stars, Message(b"\0\0\0\0\x09x"))
    out = tmp_path / "labelled.csv"
    words = ["collect", "--bootstrap-servers", deployment.kafka.bootstrap, "--out", str(out)]
    words += ["--topic", deployment.input, "--topic", deployment.output, "--text-field", "comment", "--id-field", "key"]
    words += ["--score-field", "grade", "--input-format", "avro", "--schema-registry-url", registry.url]
    assert main(words) == Exit.OK
    with out.open(encoding="utf-8", newline="") as file:
        assert {found["content"]: found["score"] for found in csv.DictReader(file)} == {"love it": "5", "bad": "1"}
    assert "unknown_schema" in capsys.readouterr().out
    registry.stop()
    assert main(words) == Exit.STREAM
    assert f"--schema-registry-url {registry.url}: schema 1: ConnectError" in capsys.readouterr().err
