"""The HTTP server of a process, over real HTTP on loopback."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection

import pytest

from deploy.process import LOOPBACK
from tests import PATIENCE_S
from tests.conftest import missing
from tests.doubles import ManualClock
from worker.errors import SettingsError
from worker.ops.health import Health
from worker.ops.http_server import serve_http, url_of
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = HTTPConnection(LOOPBACK, port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(clock, stall_s=120, parts=("model",))


@pytest.fixture
def port(health: Health, metrics: Metrics) -> int:
    return serve_http(LOOPBACK, 0, metrics.registry, health)


def test_metrics_are_served_in_the_format_of_prometheus(port: int, metrics: Metrics) -> None:
    metrics.consumed.inc(3)
    status, content_type, body = get(port, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert b"\nstarstream_reviews_consumed_total 3.0\n" in body


def test_readyz_gives_the_reasons(port: int, health: Health) -> None:
    status, content_type, body = get(port, "/readyz")
    assert (status, content_type) == (503, "application/json")
    assert json.loads(body) == {"ready": False, "reasons": {"model": "starting"}, "notes": {}}
    health.up("model")
    health.note("refused", "v2: another label set")
    status, _, body = get(port, "/readyz")
    assert (status, json.loads(body)) == (
        200,
        {"ready": True, "reasons": {}, "notes": {"refused": "v2: another label set"}},
    )


def test_livez_fails_once_the_loop_is_stuck(port: int, clock: ManualClock) -> None:
    assert get(port, "/livez")[0] == 200
    clock.advance(121)
    status, _, body = get(port, "/livez")
    assert (status, json.loads(body)) == (503, {"alive": False})


def test_any_other_path_lists_the_known_ones(port: int) -> None:
    assert get(port, "/")[::2] == (404, b"/metrics /livez /readyz\n")


def test_a_slow_client_delays_no_other(port: int) -> None:
    with socket.create_connection((LOOPBACK, port)) as idle:
        idle.sendall(b"GET /metr")
        assert get(port, "/livez")[0] == 200


def test_an_unusable_address_names_the_variables(metrics: Metrics, health: Health, port: int) -> None:
    with pytest.raises(SettingsError, match=f"WORKER_HTTP_PORT={port}: "):
        serve_http(LOOPBACK, port, metrics.registry, health)
    with pytest.raises(SettingsError, match=r"WORKER_HTTP_HOST=192\.0\.2\.1 "):
        serve_http("192.0.2.1", 0, metrics.registry, health)  # an address for documentation (RFC 5737)


def test_all_addresses_are_those_of_ipv6_and_ipv4(metrics: Metrics, health: Health) -> None:
    port = serve_http(WorkerSettings.model_fields["http_host"].default, 0, metrics.registry, health)
    assert get(port, "/livez")[0] == 200
    assert url_of("::", port) == f"http://localhost:{port}/metrics"
    assert url_of("fe80::1", port) == f"http://[fe80::1]:{port}/metrics"
    if not socket.has_dualstack_ipv6():
        missing("this machine has no IPv6")
    with socket.create_connection(("::1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert b"200 OK" in connection.recv(100)


def test_requests_leave_no_line_on_standard_error(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    get(port, "/livez")
    get(port, "/nothing")
    assert capfd.readouterr() == ("", "")
