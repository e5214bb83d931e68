"""The HTTP server of a process: `/metrics`, `/livez`, `/readyz`.

Owns the routes and their answers. Runs on daemon threads of the standard library's WSGI server, as prometheus-client's
own exporter does, and never touches the loop.
"""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any, Final, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from worker.errors import SettingsError

_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})  # as the kernel says that it has none


class HealthView(Protocol):
    """What the server reads of a process's health."""

    @property
    def alive(self) -> bool:
        """Whether the loop is not stuck."""

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the process is not ready, by part; empty when it is."""

    @property
    def notes(self) -> Mapping[str, str]:
        """What an operator should know even so, by part."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Take IPv4 too where the address is `::`, whatever the machine's default is."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Log nothing: probes and scrapes come every few seconds."""


def serve_http(host: str, port: int, registry: CollectorRegistry, health: HealthView) -> int:
    """Start the server on a daemon thread and return its port.

    Raises:
        SettingsError: the address is taken or not this machine's.
    """
    try:
        server = _bind(host, port, _routes(registry, health))
    except OSError as error:
        raise SettingsError(
            f"WORKER_HTTP_HOST={host} WORKER_HTTP_PORT={port}: {error.strerror}; choose another"
        ) from error
    Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server.server_port


def url_of(host: str, port: int, path: str = "metrics") -> str:
    """Return the address of a page, as somebody on this machine asks for it."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared only
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/{path}"


def _bind(host: str, port: int, app: Callable[..., Iterable[bytes]]) -> WSGIServer:
    """Return a server on the address; on all addresses of IPv4 where `::` is asked for and there is no IPv6."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    if family != socket.AF_INET6:
        return make_server(host, port, app, _Server, _Quiet)
    try:
        return make_server(host, port, app, _Server6, _Quiet)
    except OSError as error:
        if host != "::" or error.errno not in _NO_IPV6:
            raise
        return make_server("0.0.0.0", port, app, _Server, _Quiet)  # noqa: S104  (what `::` asks for)


def _routes(registry: CollectorRegistry, health: HealthView) -> Callable[..., Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        body: dict[str, object]
        if path == "/metrics":
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        if path == "/livez":
            ok, body = health.alive, {"alive": health.alive}
        elif path == "/readyz":
            reasons = dict(health.reasons)
            ok, body = not reasons, {"ready": not reasons, "reasons": reasons, "notes": dict(health.notes)}
        else:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics /livez /readyz\n"]
        start_response("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps(body).encode() + b"\n"]

    return app
