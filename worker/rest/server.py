"""Runs the front until a signal.

Owns the order of start and stop. Start: bundle, address, rating thread, HTTP server. Stop: not ready, take no more
connections, answer the requests that are there, end the rating thread; a second signal ends the process at once.
The HTTP server has a thread of its own, so that the signals are this module's, as in every process.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any, Final

import uvicorn
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from worker.clock import SystemClock
from worker.errors import ExitCode, SettingsError
from worker.ops.health import Health
from worker.ops.logs import configure_logs
from worker.ops.metrics import Metrics
from worker.ops.rest_metrics import RestMetrics
from worker.ops.signals import StopSignals
from worker.rest.app import make_app
from worker.rest.front import Front
from worker.rest.rater import Rater
from worker.rest.security import is_loopback, is_open
from worker.settings import WorkerSettings
from worker.stream.batcher import Batcher, Limits
from worker.traces.start import start_traces
from worker.wiring import Process, calm_collector, start_models

_CHECK_S: Final = 0.5
_LAST_SPANS_S: Final = 2.0  # a collector that is away does not hold up a stop
_BACKLOG: Final = 2048  # connections that may wait to be accepted


def serve(settings: WorkerSettings) -> ExitCode:
    """Serve until a signal stops it.

    Raises:
        WorkerError: there is no bundle, or the address is taken.
    """
    log = configure_logs(settings.log_level, settings.log_format)
    clock = SystemClock()
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    health = Health(clock, stall_s=settings.max_poll_interval_s, parts=("model",))
    metrics = Metrics(registry)
    traces = start_traces(settings, "starstream-serve", metrics=metrics, log=log, clock=clock)
    process = Process(settings, clock, log, metrics, health, traces)
    with StopSignals(settings.drain_deadline_s, log) as stop, _bind(settings) as address:
        front = start_front(process, stop.event)
        server = make_server(front)
        calm_collector()
        rating = threading.Thread(target=front.rater.run, name="rate", daemon=True)
        http = threading.Thread(target=server.run, args=([address],), name="http", daemon=True)
        rating.start()
        http.start()
        log(logging.INFO, "page_serving", url=_url(settings, address))
        if settings.processes > 1:
            log(logging.WARNING, "setting_ignored", reason="WORKER_PROCESSES: serve is one process; start several")
        if is_open(settings.rest_token, settings.rest_read_token) and not is_loopback(settings.rest_host):
            log(logging.WARNING, "rest_open", reason="anybody who reaches the port may ask: set WORKER_REST_TOKEN")
        while rating.is_alive() and http.is_alive() and not stop.wait(_CHECK_S):
            pass
        process.health.down("process", "stopping")
        server.should_exit = True
        http.join()
        front.rater.stop()
        rating.join()
        if traces is not None:
            traces.close(_LAST_SPANS_S)
        log(logging.INFO, "stopped")
    return ExitCode.OK if stop.asked else ExitCode.FAILED  # a thread that ended by itself has logged why


def start_front(process: Process, stop: threading.Event) -> Front:
    """Load the models as the stream does, and return the front; nothing is rated until its rater runs.

    Raises:
        ModelError: there is no bundle, or it must not serve.
    """
    settings, metrics = process.settings, process.metrics
    classifier = start_models(process, stop)
    process.health.up("model")
    limits = Limits(settings.batch_reviews, settings.batch_bytes, settings.batch_tokens, linger_s=settings.linger_s)
    rater = Rater(
        classifier,
        Batcher(limits),
        most_waiting=settings.rest_queue_reviews,
        metrics=metrics,
        health=process.health,
        clock=process.clock,
    )
    return Front(process, RestMetrics(metrics.registry), classifier, rater, stop)


def make_server(front: Front) -> uvicorn.Server:
    """Return the HTTP server of a front."""
    settings = front.process.settings
    return uvicorn.Server(
        uvicorn.Config(
            make_app(front),
            http=connection_type(settings.rest_read_timeout_s),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            ssl_certfile=settings.rest_ssl_certfile,
            ssl_keyfile=settings.rest_ssl_keyfile,
            timeout_graceful_shutdown=max(1, round(settings.drain_deadline_s / 2)),
        )
    )


def connection_type(head_timeout_s: float) -> type[asyncio.Protocol]:
    """Return what uvicorn makes of each connection: its own, with a deadline for the head of a request.

    uvicorn ends a connection that rests between two requests, and none that sends nothing, or a header now and then:
    such clients would each keep a file descriptor, until nobody else gets one. `worker.rest.request` has the body's.

    Args:
        head_timeout_s: longest time from the connection, or from the first byte of a later request, to the end of its
            headers.
    """

    class Connection(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None

        @override
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect_head()

        @override
        def data_received(self, data: bytes) -> None:
            if self.cycle is not None and self.cycle.response_complete:
                self._expect_head()
            super().data_received(data)

        @override
        def on_headers_complete(self) -> None:
            self._head_came()
            super().on_headers_complete()

        @override
        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

        def _expect_head(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(head_timeout_s, self.transport.close)

        def _head_came(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Connection


def _bind(settings: WorkerSettings) -> socket.socket:
    host, port = settings.rest_host, settings.rest_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise SettingsError(
            f"WORKER_REST_HOST={host} WORKER_REST_PORT={port}: {error.strerror}; choose another"
        ) from error


def _url(settings: WorkerSettings, address: socket.socket) -> str:
    host = f"[{settings.rest_host}]" if ":" in settings.rest_host else settings.rest_host
    return f"http{'s' if settings.rest_ssl_certfile else ''}://{host}:{address.getsockname()[1]}/"
