"""An app's trend, from reviews with their own times to the command line, REST and the page: equal to a recount."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.records import Message, read_topic
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment
from worker.__main__ import main
from worker.errors import ExitCode

NOW = datetime.now(UTC)
DAYS = 14


def message(number: int, topic: str, *, deleted: bool = False) -> Message:
    """Return one of 280 reviews of two weeks; the new version of the second is bad, and a few are of long ago."""
    day = number % DAYS
    written = NOW - timedelta(days=DAYS - 1 - day, hours=1) if number < 280 else NOW - timedelta(days=200)
    text = ("bad", "worst") if day >= 10 else ("good", "good", "bad")
    value = {
        "text": text[number % len(text)],
        "app_id": "maps",
        "app_version": "2.0" if day >= 10 else "1.0",
        "created_at": [written.isoformat(), written.timestamp(), round(written.timestamp() * 1000)][number % 3],
    }
    return Message(None if deleted else json.dumps(value).encode(), key=f"r-{number}".encode(), topic=topic)


@pytest.fixture
def full(deployment: Deployment) -> Deployment:
    deployment.settings["redis_form"] = 2
    worker = deployment.worker().ready()
    deployment.produce(*(message(number, deployment.input) for number in range(290)))
    worker.until(lambda: len(deployment.stored_ids()) == 290, "all are rated")
    deployment.produce(*(message(number, deployment.input, deleted=True) for number in range(0, 290, 10)))
    worker.until(lambda: len(deployment.stored_ids()) == 261, "a tenth is deleted")
    return deployment


def recount(full: Deployment, by: str) -> dict[str, Counter[str]]:
    """Count the topic's last rating of each review."""
    last: dict[str, Any] = {}
    for seen in read_topic(full.kafka.bootstrap, full.output):
        last[seen.id] = None if seen.value is None else json.loads(seen.value)
    rows: dict[str, Counter[str]] = {}
    for rating in filter(None, last.values()):
        written = datetime.fromisoformat(rating["created_at"]).astimezone(UTC)
        if written > NOW - timedelta(days=90):
            name = rating["app_version"] if by == "version" else written.date().isoformat()
            rows.setdefault(name, Counter())[str(rating["rating"])] += 1
    return rows


def test_a_trend_equals_a_recount_of_the_topic(
    full: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], clean_environment: pytest.MonkeyPatch
) -> None:
    del clean_environment
    get = ["get", "--app", "maps", *full.flags()]
    for by in ("day", "version"):
        assert main([*get, "--since", "20d", "--by", by, "--json"]) == ExitCode.OK
        found = json.loads(capsys.readouterr().out)
        assert {row["name"]: Counter(row["stars"]) for row in found["rows"]} == recount(full, by)
        assert found["outside"] == 9
    assert [row["name"] for row in found["rows"]] == ["1.0", "2.0"]
    assert found["rows"][0]["mean"] > 3 > found["rows"][1]["mean"]
    assert main([*get, "--by", "version"]) == ExitCode.OK
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["version", "1.0", "2.0"]
    assert "9 reviews are counted apart" in said.err
    assert main(["get", "--app", "nobody", "--since", "7d", *full.flags()]) == ExitCode.INPUT
    assert main([*get, "--by", "colour"]) == ExitCode.USAGE
    assert main([*get, "--since", "7d", "--redis-form", "1"]) == ExitCode.USAGE
    assert "WORKER_REDIS_FORM is 1" in capsys.readouterr().err
    with serving_rest(tmp_path, full.environ) as served:
        answer = send(served, "/v1/apps/maps/trend?since=20d&by=version", method="GET")
        assert answer.json() == found
        assert send(served, "/v1/apps/nobody/trend", method="GET").status_code == 404
        for wrong in ("since=soon", "by=colour"):
            assert send(served, f"/v1/apps/maps/trend?{wrong}", method="GET").status_code == 422
