"""`trainer collect` on a real broker: bounded by time and by the ends of the moment, past aborted transactions."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deploy.process import LOOPBACK, free_port
from tests.fixtures.records import Message, send_aborted
from tests.fixtures.running import Deployment
from tests.fixtures.shared_kafka import SharedKafka
from tests.model.reviews import synthetic
from trainer.__main__ import main
from trainer.errors import Exit

DAY_MS = 86_400_000

Collect = Callable[..., int]


def message(value: Any, *, key: str | None = None, days_ago: float = 0.0, topic: str | None = None) -> Message:
    content = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    at_ms = round(time.time() * 1000 - days_ago * DAY_MS)
    return Message(content, None if key is None else key.encode(), timestamp_ms=at_ms, topic=topic)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labelled.csv"


@pytest.fixture
def collect(deployment: Deployment, out: Path) -> Collect:
    """The command, from the deployment's input topic and a feedback topic, for which its output topic stands in."""
    topics = ["--topic", deployment.input, "--topic", deployment.output]
    words = ["collect", "--bootstrap-servers", deployment.kafka.bootstrap, *topics, "--out", str(out)]
    return lambda *flags: main([*words, *flags])


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_stream_becomes_a_training_file(
    deployment: Deployment, collect: Collect, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = []
    for number, (text, label) in enumerate(synthetic(300)):
        review: dict[str, Any] = {"text": text, "review_id": f"r{number}", "app_id": "app"}
        if number % 3:
            review["score"] = label
        sent.append(message(review, key=f"r{number}"))
        if number % 3 == 0 and number % 2 == 0:
            for score, days_ago in ((6 - label, 0.001), (label, 0.0)):
                stars = {"review_id": f"r{number}", "score": score}
                sent.append(message(stars, days_ago=days_ago, topic=deployment.output))
    sent += [message({"text": "long ago", "score": 3}, days_ago=40), message(b"{broken"), message(None, key="r1")]
    deployment.produce(*sent)
    assert collect() == Exit.OK
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
    assert collect("--since", "all") == Exit.OK
    assert "long ago" in {row["content"] for row in _rows(out)}


def test_reading_ends_while_the_stream_continues(deployment: Deployment, collect: Collect, out: Path) -> None:
    deployment.produce(*(message({"text": f"before {number}", "score": 5}) for number in range(500)))
    stop = threading.Event()

    def go_on() -> None:
        for number in count():
            if stop.is_set():
                return
            deployment.produce(*(message({"text": f"after {number}-{part}", "score": 1}) for part in range(200)))

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        assert collect() == Exit.OK
    finally:
        stop.set()
        writer.join()
    assert {f"before {number}" for number in range(500)} <= {row["content"] for row in _rows(out)}


def test_aborted_transactions_are_left_out(deployment: Deployment, collect: Collect, out: Path) -> None:
    deployment.produce(message({"text": "kept", "score": 4})._replace(partition=0))
    send_aborted(deployment.kafka.bootstrap, deployment.input, [0], b'{"text": "aborted", "score": 4}')
    assert collect("--patience-s", "10") == Exit.OK
    assert [row["content"] for row in _rows(out)] == ["kept"]


def test_without_labels_the_file_is_unchanged(
    deployment: Deployment, collect: Collect, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.produce(message({"text": "no stars"}))
    out.write_text("before")
    assert collect() == Exit.BAD_DATA
    assert "fewer than --min-reviews 1" in capsys.readouterr().err
    assert out.read_text() == "before"


def test_missing_topic_or_broker_is_a_stream_error(
    kafka: SharedKafka, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bootstrap, said in (
        (kafka.bootstrap, "--topic misspelt: no such topic"),
        (f"{LOOPBACK}:{free_port()}", "is a broker up"),
    ):
        where = ["--bootstrap-servers", bootstrap, "--topic", "misspelt", "--out", str(out), "--patience-s", "3"]
        assert main(["collect", *where]) == Exit.STREAM
        assert said in capsys.readouterr().err
