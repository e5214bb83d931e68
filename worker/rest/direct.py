"""`POST /v1/ratings` without a query, past FastAPI: its own steps cost more than the rating (LOG.md).

Owns the short way to that route. What is not for it goes on to FastAPI, which has the same route for its document and
for requests with a query; both call the same function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.rest.problems import Problem
from worker.rest.security import Access

PATH: Final = "/v1/ratings"


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """What the measuring reads of a route."""

    path: str


class Direct:
    """The application inside, with the short way in front of it.

    Args:
        rate: answers a request.
        access: who may ask.
    """

    def __init__(self, app: ASGIApp, *, rate: Callable[[Request], Awaitable[Response]], access: Access) -> None:
        self._app = app
        self._rate = rate
        self._access = access
        self._route = DirectRoute(PATH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_http = scope["type"] == "http"
        if not is_http or scope["path"] != PATH or scope["method"] != "POST" or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        request = Request(scope, receive)
        try:
            self._access.check_reads(request.headers.get("authorization"))
            response = await self._rate(request)
        except Problem as problem:
            response = problem.response()
        await response(scope, receive, send)
