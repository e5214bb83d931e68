"""`/livez`, `/readyz` and `/metrics`, as every process of ours has them, and the measuring of every request.

Owns their answers. `worker.ops.health` has the reasons, `worker.ops.rest_metrics` the mark on the metrics.
"""

from __future__ import annotations

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
    """

    def __init__(self, app: ASGIApp, *, metrics: RestMetrics, clock: Clock) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

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

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count(scope["method"] if route != "other" else "any", route, status)
            self._metrics.time(route, self._clock.monotonic() - started)
