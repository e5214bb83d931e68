"""`status` beside other programs: whatever answers on the worker's port, the screen is shown."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typing_extensions import override

from worker.commands.status import worker_page
from worker.settings import read_settings


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Serve one answer to whatever comes; the port."""

    class Answer(socketserver.BaseRequestHandler):
        @override
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def _http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (_http("200 OK", '{"ready": true}'), {"ready": True}),
        (_http("503 Service Unavailable", '{"ready": false}'), {"ready": False}),
        (_http("200 OK", "[1]"), None),
        (_http("404 Not Found", "<html>"), None),
        (_http("200 OK", "\xff"), None),
        (b"-ERR unknown command 'GET'\r\n", None),  # Redis
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", None),  # it dies meanwhile
    ],
)
def test_only_a_workers_page_is_shown(
    answer: bytes, found: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # the page is on this machine: no proxy is asked
    with answering(answer) as port:
        page = worker_page(read_settings({"http_host": "127.0.0.1", "http_port": str(port)}))
    address = page.pop("page")
    assert json.dumps(page) == json.dumps(found or {})
    assert found or address.endswith("what answers there is no worker; name its port with --http-port")
