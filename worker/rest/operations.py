"""`/livez`, `/readyz` and `/metrics`, as every process of ours has them, and the measuring of every request.

Owns their answers. `worker.ops.health` has the reasons, `worker.ops.rest_metrics` the mark on the metrics.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response, params
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.clock import Clock
from worker.ops.health_metrics import HealthCollector
from worker.ops.rest_metrics import Marked, RestMetrics
from worker.rest.front import Front
from worker.rest.problems import describe_problems
from worker.rest.rater import SOURCE
from worker.stream.ports import Trace, Traces
from worker.traces.request import TRACE

_TRACED: Final = ("/v1/", "/v2/")


def operations_routes(front: Front, reads: params.Depends) -> APIRouter:
    """Return the routes; the probes need no token, the metrics do."""
    router = APIRouter(tags=["operations"])
    health, metrics = front.process.health, front.process.metrics
    page = CollectorRegistry()
    readiness = CollectorRegistry()
    readiness.register(HealthCollector(health))
    for registry in (metrics.registry, readiness):
        page.register(Marked(registry, {"source": SOURCE}))

    @router.get("/livez", summary="Whether the rating thread moves", responses={503: {"description": "It is stuck"}})
    async def livez() -> Response:
        return JSONResponse({"alive": health.alive}, 200 if health.alive else 503)

    @router.get("/readyz", summary="Whether texts can be rated", responses={503: {"description": "Not now"}})
    async def readyz() -> Response:
        reasons = dict(health.reasons)
        body = {"ready": not reasons, "reasons": reasons, "notes": dict(health.notes)}
        return JSONResponse(body, 503 if reasons else 200)

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        response_class=Response,
        dependencies=[reads],
        responses=describe_problems(401),
    )
    async def scrape(request: Request) -> Response:
        front.rest_metrics.waiting.set(front.rater.waiting)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(page), media_type=content_type)

    return router


class Measured:
    """The application inside, measured. A path that no route has is counted as `other`.

    Plain ASGI: Starlette's own base class for this costs a task for each request.

    Args:
        traces: begins a trace for the sampled ones under `/v1` and `/v2`.
    """

    def __init__(self, app: ASGIApp, *, metrics: RestMetrics, clock: Clock, traces: Traces | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock.monotonic()
        status = "none"  # nothing was answered: the client left

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        trace = self._begin(scope) if self._traces else None
        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if route != "other" else "any"
            self._metrics.count(method, route, status)
            self._metrics.time(route, self._clock.monotonic() - started, trace.exemplar if trace else None)
            if trace is not None:
                TRACE.set(None)
                _end(trace, method, route, status)

    def _begin(self, scope: Scope) -> Trace | None:
        if self._traces is None or not scope["path"].startswith(_TRACED):
            return None
        traceparent = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
        trace = self._traces.begin_request(scope["method"], traceparent)
        TRACE.set(trace)
        return trace


def _end(trace: Trace, method: str, route: str, status: str) -> None:
    """End a request's trace as OpenTelemetry's conventions ask: 5xx is an error of ours, 4xx is not."""
    attributes: dict[str, str | int | float | bool] = {"http.route": route}
    if status.isdecimal():
        attributes["http.response.status_code"] = int(status)
    if status.startswith("5"):
        trace.failed(status)
    trace.end(attributes, f"{method} {route}")
