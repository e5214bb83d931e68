"""`serve` as a process: it reloads while it rates, drains on SIGTERM, and a slow client holds nobody up."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

from deploy.process import LOOPBACK, wait_until
from schemas.channels import STABLE
from tests import PATIENCE_S
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import RunningWorker
from worker.errors import ExitCode

TOY = {"WORKER_REGISTRY": str(TOY_REGISTRY)}


def begin(served: RunningWorker, body: bytes, sent: int) -> socket.socket:
    """Send a request of which the end is missing."""
    connection = socket.create_connection((LOOPBACK, served.port), timeout=PATIENCE_S)
    head = f"POST /v1/ratings HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:sent])
    return connection


def test_a_promotion_is_served_while_requests_come_in(tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path / "models")
    registry.publish(SECOND, Change(always=1))
    environ = {"WORKER_REGISTRY": str(registry.root), "WORKER_RELOAD_INTERVAL_S": "0.1"}
    seen: list[tuple[int, str, int]] = []
    with serving_rest(tmp_path, environ) as served:

        def ask() -> str:
            answer = send(served, "/v1/ratings", {"text": "good"})
            seen.append((answer.status_code, answer.json()["model_version"], answer.json()["rating"]))
            return seen[-1][1]

        assert ask() == TOY_VERSION
        registry.point(STABLE, SECOND)
        wait_until(lambda: ask() == SECOND, PATIENCE_S, "the promotion")
        assert set(seen) == {(200, TOY_VERSION, 5), (200, SECOND, 1)}
        assert send(served, "/v1/model", method="GET").json()["model_version"] == SECOND
        assert served.total("starstream_ratings_total", source="rest") == len(seen)


def test_sigterm_answers_what_is_there_and_ends_with_0(tmp_path: Path) -> None:
    body = json.dumps({"text": "good"}).encode()
    with serving_rest(tmp_path, TOY) as served, begin(served, body, 5) as connection:
        served.until(lambda: send(served, "/v1/ratings", {"text": "bad"}).status_code == 200, "an answer beside it")
        stopping = threading.Thread(target=served.stop)
        stopping.start()
        served.until(lambda: served.said("stopping"), "the signal")
        connection.sendall(body[5:])
        answer = connection.makefile("rb").read()
        stopping.join()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"rating":5' in answer
        assert served.child.returncode == ExitCode.OK, served.child.log_tail(30)
