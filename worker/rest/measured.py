"""Counts and times every request, by its route.

Owns nothing but the two metrics it writes. Plain ASGI: Starlette's own base class costs a task for each request.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.clock import Clock
from worker.ops.rest_metrics import RestMetrics


class Measured:
    """The application inside, measured. A path that no route has is counted as `other`."""

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
            self._metrics.requests.labels(scope["method"] if route != "other" else "any", route, status).inc()
            self._metrics.seconds.labels(route).observe(self._clock.monotonic() - started)
