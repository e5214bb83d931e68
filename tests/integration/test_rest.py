"""`serve` as a process: it reloads while it rates, drains on SIGTERM, and a slow client holds nobody up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from deploy.process import LOOPBACK, free_port, wait_until
from schemas.channels import STABLE
from tests import PATIENCE_S
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import SECOND, Change, ToyRegistry
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import RunningWorker
from worker.errors import ExitCode
from worker.model.canary import is_picked

POST = b"POST /v1/ratings HTTP/1.1\r\nHost: localhost\r\n"
TOY = {"WORKER_REGISTRY": str(TOY_REGISTRY)}


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """One for the tests that change nothing."""
    with serving_rest(tmp_path_factory.mktemp("rest"), TOY) as served:
        yield served


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


def test_a_canary_rates_its_share_of_the_requests(tmp_path: Path) -> None:
    registry = ToyRegistry(tmp_path / "models")
    registry.publish(SECOND, Change(always=1))
    registry.point("candidate", SECOND)
    environ = {
        "WORKER_REGISTRY": str(registry.root),
        "WORKER_RELOAD_INTERVAL_S": "0.1",
        "WORKER_SHADOW_CHANNEL": "candidate",
        "WORKER_CANARY_SHARE": "0.5",
        "WORKER_CANARY_MAX_DISAGREEMENT": "1",
    }
    ids = [f"r-{number}" for number in range(50)]
    picked = {review_id for review_id in ids if is_picked(review_id, 0.5)}
    assert 0 < len(picked) < 50
    with serving_rest(tmp_path, environ) as served:
        served.until(lambda: served.total("starstream_shadow_info", model_version=SECOND) == 1, "the candidate")

        def rated() -> set[str]:
            reviews = [{"text": "good", "review_id": review_id} for review_id in ids]
            ratings = send(served, "/v1/ratings", {"reviews": reviews}).json()["ratings"]
            return {rating["review_id"] for rating in ratings if rating["model_version"] == SECOND}

        served.until(lambda: rated() == picked, "the canary's share")
        assert send(served, "/v1/model", method="GET").json()["shadow_version"] == SECOND


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


def test_slow_clients_hold_nobody_up_and_are_let_go(tmp_path: Path) -> None:
    body = json.dumps({"text": "good"}).encode()
    with serving_rest(tmp_path, TOY | {"WORKER_REST_READ_TIMEOUT_S": "3"}) as served:
        slow = [begin(served, body, 5) for _ in range(200)]
        idle = [socket.create_connection((LOOPBACK, served.port), timeout=PATIENCE_S) for _ in range(200)]
        assert send(served, "/v1/ratings", {"text": "bad"}).json()["rating"] == 1
        answers = [connection.makefile("rb").readline() for connection in slow]
        assert set(answers) == {b"HTTP/1.1 408 Request Timeout\r\n"}
        assert send(served, "/v1/ratings", {"text": "bad"}).status_code == 200
        assert {connection.makefile("rb").readline() for connection in idle} == {b""}, "closed: no request came"
        for connection in (*slow, *idle):
            connection.close()


def test_a_request_whose_headers_do_not_end_is_given_up_also_behind_another(tmp_path: Path) -> None:
    whole = f"GET /v1/model HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode()
    with serving_rest(tmp_path, TOY | {"WORKER_REST_READ_TIMEOUT_S": "1"}) as served:
        for before, half in ((b"", whole[:-2]), (whole, whole[:-2]), (whole, b"\r\n"), (whole + whole, whole[:9])):
            with socket.create_connection((LOOPBACK, served.port), timeout=PATIENCE_S) as connection:
                connection.sendall(before + half)
                answered = connection.makefile("rb").read()  # until it is closed
            assert answered.count(b"HTTP/1.1 200") == before.count(b"GET")
        assert send(served, "/v1/model", method="GET").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"GET /v1/model HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["tls", "version", "long", "negative", "chunk", "smuggled", "hosts", "path"],
)
def test_what_is_hardly_http_ends_in_4xx(rest: RunningWorker, sent: bytes) -> None:
    with socket.create_connection((LOOPBACK, rest.port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").readline()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert send(rest, "/v1/ratings", {"text": "good"}).status_code == 200


def test_no_text_and_no_token_is_logged(tmp_path: Path) -> None:
    environ = TOY | {"WORKER_REST_TOKEN": "a-secret-of-some-length", "WORKER_LOG_LEVEL": "debug"}
    with serving_rest(tmp_path, environ) as served:
        token = {"Authorization": "Bearer a-secret-of-some-length"}
        for body in (
            {"text": "unmistakable words"},
            {"text": ["unmistakable"]},
            {"unmistakable": "unmistakable words"},
        ):
            send(served, "/v1/ratings", body, **token)
        send(served, "/v1/ratings", {"text": "good"}, Authorization="Bearer unmistakable")
        send(served, "/unmistakable?unmistakable", method="GET")
        assert served.stop() == ExitCode.OK
        assert "unmistakable" not in served.child.log_output
        assert "a-secret" not in served.child.log_output


def test_a_taken_address_is_one_line_and_exit_code_2(rest: RunningWorker, tmp_path: Path) -> None:
    second = RunningWorker(["serve", "--rest-port", str(rest.port)], log_path=tmp_path / "second.log", environ=TOY)
    assert second.ends() == ExitCode.USAGE
    assert f"WORKER_REST_PORT={rest.port}" in second.child.log_tail(1)


def test_without_kafka_and_redis_it_rates_and_says_what_is_away(tmp_path: Path) -> None:
    away = f"{LOOPBACK}:{free_port()}"
    environ = TOY | {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": away,
        "WORKER_REDIS_URL": f"redis://{away}",
        "WORKER_REDIS_FORM": "2",
        "WORKER_REQUEST_TIMEOUT_S": "1",
    }
    with serving_rest(tmp_path, environ) as served:
        for method, path, service in (
            ("POST", "/v1/reviews", "kafka"),
            ("DELETE", "/v1/ratings/r-1", "kafka"),
            ("GET", "/v1/ratings/r-1", "redis"),
            ("GET", "/v1/apps/maps/summary", "redis"),
            ("GET", "/v1/apps/maps/trend", "redis"),
        ):
            answer = send(served, path, {"text": "good"} if method == "POST" else None, method=method)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["detail"].startswith(f"{service}: ")
        with httpx2.stream("GET", f"http://{LOOPBACK}:{served.port}/v1/stream", timeout=PATIENCE_S) as stream:
            assert next(line for line in stream.iter_lines() if line.startswith("event")) == "event: problem"
            assert send(served, "/v1/ratings", {"text": "good"}).status_code == 200
        assert served.get("/readyz")[0] == 200
