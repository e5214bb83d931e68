"""`trainer collect` on a real broker: bounded by time and by the ends of the moment, past aborted transactions."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from deploy.kafka import LocalKafka
from deploy.process import LOOPBACK, free_port
from tests import PATIENCE_S
from tests.conftest import ROOT
from tests.model.reviews import synthetic
from trainer.__main__ import main
from trainer.errors import Exit

DAY_MS = 86_400_000


class Topics:
    """Two topics of one test."""

    def __init__(self, kafka: LocalKafka) -> None:
        mark = uuid.uuid4().hex[:8]
        self.reviews, self.feedback = f"reviews-{mark}", f"feedback-{mark}"
        self.bootstrap = kafka.bootstrap
        kafka.create_topics({self.reviews: 3, self.feedback: 1})
        self.producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=20)
        self.now_ms = round(time.time() * 1000)

    def send(self, topic: str, value: Any, *, key: str | None = None, days_ago: float = 0.0) -> None:
        content = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        at = self.now_ms - round(days_ago * DAY_MS)
        self.producer.send(topic, content, None if key is None else key.encode(), timestamp_ms=at)

    def arguments(self, out: Path, *flags: str) -> list[str]:
        topics = ["--topic", self.reviews, "--topic", self.feedback]
        return ["collect", "--bootstrap-servers", self.bootstrap, *topics, "--out", str(out), *flags]


@pytest.fixture
def topics(kafka: LocalKafka) -> Iterator[Topics]:
    found = Topics(kafka)
    yield found
    found.producer.close(5)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_stream_becomes_a_training_file(topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (text, label) in enumerate(synthetic(300)):
        review: dict[str, Any] = {"text": text, "review_id": f"r{number}", "app_id": "app"}
        if number % 3:
            review["score"] = label
        topics.send(topics.reviews, review, key=f"r{number}")
    for number, (_, label) in enumerate(synthetic(300)):
        if number % 3 == 0 and number % 2 == 0:
            topics.send(topics.feedback, {"review_id": f"r{number}", "score": 6 - label}, days_ago=0.001)
            topics.send(topics.feedback, {"review_id": f"r{number}", "score": label})
    topics.send(topics.reviews, {"text": "long ago", "score": 3}, days_ago=40)
    topics.send(topics.reviews, b"{broken")
    topics.send(topics.reviews, None, key="r1")
    topics.producer.flush(20)
    out = tmp_path / "labelled.csv"
    assert main(topics.arguments(out)) == Exit.OK
    rows = _rows(out)
    expected = {text: str(label) for number, (text, label) in enumerate(synthetic(300)) if number % 3 or not number % 2}
    del expected[synthetic(300)[1][0]]  # it was deleted
    assert {row["content"]: row["score"] for row in rows} == expected
    assert all(row["app_id"] == "app" and row["review_id"].startswith("r") for row in rows)
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for line in (
        "reviews 300",
        "stars 100",
        "deletions 1",
        "bad: not_json 1",
        "reviews without stars 50",
        "written 249",
    ):
        assert line in said
    assert "latin 249 100.0%" in said
    assert main(topics.arguments(out, "--since", "all")) == Exit.OK
    assert "long ago" in {row["content"] for row in _rows(out)}


def test_training_reads_the_file(topics: Topics, tmp_path: Path) -> None:
    for text, label in synthetic(200):
        topics.send(topics.reviews, {"text": text, "score": label})
    topics.producer.flush(20)
    out = tmp_path / "labelled.csv"
    assert main(topics.arguments(out)) == Exit.OK
    small = ["--units", "8", "--embedding", "8", "--epochs", "2", "--wide-pairs", "1024", "--no-floors"]
    train = ["train", "--data", str(out), "--registry", str(tmp_path / "models"), "--channel", "none", *small]
    assert main(train) == Exit.OK


def test_reading_ends_while_the_stream_continues(topics: Topics, tmp_path: Path) -> None:
    for number in range(500):
        topics.send(topics.reviews, {"text": f"before {number}", "score": 5})
    topics.producer.flush(20)
    stop = threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            topics.send(topics.reviews, {"text": f"after {number}", "score": 1})
            number += 1
            if number % 200 == 0:
                topics.producer.flush(20)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        assert main(topics.arguments(tmp_path / "labelled.csv")) == Exit.OK
    finally:
        stop.set()
        writer.join()
    texts = {row["content"] for row in _rows(tmp_path / "labelled.csv")}
    assert {f"before {number}" for number in range(500)} <= texts


def test_aborted_transactions_are_left_out(topics: Topics, tmp_path: Path) -> None:
    producer = KafkaProducer(bootstrap_servers=topics.bootstrap, transactional_id=uuid.uuid4().hex)
    try:
        producer.init_transactions()
        for text, end in (("kept", producer.commit_transaction), ("aborted", producer.abort_transaction)):
            producer.begin_transaction()
            review = json.dumps({"text": text, "score": 4}).encode()
            # It is in the log before the abort.
            producer.send(topics.reviews, review, partition=0).get(timeout=PATIENCE_S)
            end()
    finally:
        producer.close(5)
    out = tmp_path / "labelled.csv"
    assert main(topics.arguments(out, "--patience-s", "10")) == Exit.OK
    assert [row["content"] for row in _rows(out)] == ["kept"]


def test_without_labels_the_file_is_unchanged(
    topics: Topics, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics.send(topics.reviews, {"text": "no stars"})
    topics.producer.flush(20)
    out = tmp_path / "labelled.csv"
    out.write_text("before")
    assert main(topics.arguments(out)) == Exit.BAD_DATA
    assert "fewer than --min-reviews 1" in capsys.readouterr().err
    assert out.read_text() == "before"


def test_missing_topic_or_broker_is_a_stream_error(kafka: LocalKafka, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "labelled.csv"), "--patience-s", "3"]
    for where, said in (
        (["--bootstrap-servers", kafka.bootstrap, "--topic", "misspelt"], "--topic misspelt: no such topic"),
        (["--bootstrap-servers", f"{LOOPBACK}:{free_port()}"], "is a broker up"),
    ):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "trainer", "collect", *where, *out],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == Exit.STREAM, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
