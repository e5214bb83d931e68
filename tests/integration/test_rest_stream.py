"""`serve` beside a real worker, Kafka and Redis: reviews posted, read, watched and deleted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.process import LOOPBACK
from tests import PATIENCE_S
from tests.conftest import ROOT
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import Deployment, RunningWorker
from worker.errors import ExitCode


@pytest.fixture
def served(deployment: Deployment, tmp_path: Path) -> Iterator[RunningWorker]:
    deployment.settings["redis_form"] = 2  # which has trends
    with serving_rest(tmp_path, deployment.environ) as served:
        yield served


def events(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    """Yield the events of an answer, by kind, with their data."""
    kind = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def test_a_review_is_posted_rated_read_watched_and_deleted(deployment: Deployment, served: RunningWorker) -> None:
    worker = deployment.worker().ready()
    url = f"http://{LOOPBACK}:{served.port}/v1/stream?app_id=maps&max_stars=1"
    for wrong in ("max_stars=0", "min_stars=6"):  # which no rating could have
        refused = send(served, f"/v1/stream?{wrong}", method="GET")
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, wrong.partition("=")[0])
    with httpx2.stream("GET", url, timeout=PATIENCE_S) as answer:
        seen = events(answer)
        assert next(seen) == ("open", {})
        named = {"text": "good", "review_id": "r/1\n?", "app_id": "maps"}
        posted = send(served, "/v1/reviews", {"reviews": [named, {"content": "bad", "app_id": "maps"}, "bad"]})
        assert posted.status_code == 202
        ids = posted.json()["review_ids"]
        kind, rating = next(seen)  # of the three only one has one star and the app
        assert (kind, rating["review_id"], rating["rating"]) == ("rating", ids[1], 1)
        found = send(served, "/v1/ratings/r%2F1%0A%3F", method="GET")
        assert (found.status_code, found.json()["rating"], found.json()["app_id"]) == (200, 5, "maps")
        assert found.json()["source"]["topic"] == deployment.input
        summary = send(served, "/v1/apps/maps/summary", method="GET").json()
        assert summary == {"app_id": "maps", "count": 2, "mean": 3.0, "stars": {"1": 1, "5": 1}}

        deleted = send(served, "/v1/ratings/r%2F1%0A%3F", method="DELETE")
        assert (deleted.status_code, deleted.json()) == (202, {"review_id": "r/1\n?"})
        assert next(seen) == ("deleted", {"review_id": "r/1\n?"})
        assert send(served, "/v1/ratings/r%2F1%0A%3F", method="GET").status_code == 404
        assert send(served, "/v1/apps/maps/summary", method="GET").json()["count"] == 1
        assert served.stop() == ExitCode.OK  # an open stream does not hold it
        assert list(seen) == []
    assert worker.stop() == ExitCode.OK
    assert sorted(deployment.stored_ids()) == sorted(ids[1:])


def test_the_curl_lines_of_the_readme_run_as_they_stand(
    deployment: Deployment, served: RunningWorker, tmp_path: Path
) -> None:
    deployment.worker().ready()
    lines = re.findall(r"^curl .*localhost:8080/.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 8
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")

    def answers(line: str) -> bool:
        """Return whether a line succeeds; the stream is cut after a second."""
        is_endless = "/v1/stream" in line
        command = line.replace("localhost:8080", f"localhost:{served.port}")
        command = command.replace("curl ", f"curl -m {1 if is_endless else PATIENCE_S} ", 1)
        environ = {"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path)}
        done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, check=False)
        return done.returncode == (28 if is_endless else 0) and bool(done.stdout)

    for line in lines:  # a review that was posted is there once it is rated
        served.until(partial(answers, line), line)


def test_schemathesis_finds_nothing_in_what_the_document_says(served: RunningWorker, tmp_path: Path) -> None:
    url = f"http://{LOOPBACK}:{served.port}/openapi.json"
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(ROOT / "tests/fixtures/schemathesis.toml"),
    ]
    # The stream never ends, so no answer of it can be checked.
    command += [
        "run",
        url,
        "--max-examples=5",
        "--seed=16",
        "--exclude-path=/v1/stream",
        "--phases=examples,coverage,fuzzing",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S * 4, check=False)
    found = "\n".join(line[:300] for line in done.stdout.splitlines())
    assert done.returncode == 0, found
    assert "Tested: " in found
