"""Telling words from real topics: what a new version's reviews say, by the command line and over REST."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.records import Message
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment
from worker.__main__ import main
from worker.errors import ExitCode

NOW = datetime.now(UTC)
OLD, NEW = ("good app", "love it"), ("bad login", "terrible login loop, mail jo@example.com")


def message(number: int, text: str, days: float, **more: Any) -> Message:
    review = {"review_id": f"r-{number}", "app_id": "maps", "text": text, **more}
    review["created_at"] = (NOW - timedelta(days=days)).isoformat()
    return Message(json.dumps(review).encode(), key=f"r-{number}".encode())


@pytest.fixture
def full(deployment: Deployment) -> Deployment:
    """Forty reviews of the week before, forty of this week of which half are of a new version, and others."""
    worker = deployment.worker().ready()
    before = [message(number, OLD[number % 2], 10, app_version="1.0", score=5) for number in range(40)]
    same = [message(100 + number, OLD[number % 2], 2, app_version="1.0", score=5) for number in range(20)]
    new = [message(200 + number, NEW[number % 2], 2, app_version="2.0", score=1) for number in range(20)]
    other = [message(300, "login login", 30), message(301, "login", 1, app_id="other")]
    deployment.produce(*(one._replace(topic=deployment.input) for one in (*before, *same, *new, *other)))
    worker.until(lambda: len(deployment.stored_ids()) == 82, "all are rated")
    deployment.produce(Message(None, key=b"r-100", topic=deployment.input))
    worker.until(lambda: len(deployment.stored_ids()) == 81, "one is deleted")
    return deployment


def test_the_words_of_a_new_version_are_found(
    full: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str], clean_environment: pytest.MonkeyPatch
) -> None:
    del clean_environment
    words = ["get", "--app", "maps", "--words", *full.flags()]
    assert main([*words, "--by", "version", "--json"]) == ExitCode.OK
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["now"]["reviews"], found["before"]["reviews"]) == (39, 40)
    assert (found["one_in"], found["without_text"]) == (1, 0)
    assert found["now"]["author_mean"] == pytest.approx((19 * 5 + 20 * 1) / 39, abs=1e-4)
    assert found["now"]["mean"] < found["before"]["mean"]
    assert found["groups"]["2.0"]["words"][0]["word"] == "login"
    assert (found["groups"]["2.0"]["reviews"], found["groups"]["1.0"]["words"]) == (20, [])
    assert "jo" not in said.out
    assert "masked: 10 e-mail" in said.err
    assert main([*words, "--by", "version"]) == ExitCode.OK
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("2.0 20 login (20, 0)") for line in lines), lines
    assert main([*words[:2], "nobody", *words[3:]]) == ExitCode.INPUT
    assert main([*words, "--by", "colour"]) == ExitCode.USAGE
    assert main([*words, "--since", "soon"]) == ExitCode.USAGE
    with serving_rest(tmp_path, full.environ) as served:
        answer = send(served, "/v1/apps/maps/words?by=version", method="GET")
        assert answer.json() == found
        assert send(served, "/v1/apps/nobody/words", method="GET").status_code == 404
        assert send(served, "/v1/apps/maps/words?since=soon", method="GET").status_code == 422
