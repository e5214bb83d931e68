"""The HTTP application: puts the routes together, and what every request goes through.

Owns the order of those steps, the OpenAPI document, and the short way past FastAPI to `POST /v1/ratings`.
`worker.rest.server` runs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas import __version__
from worker.rest.event_stream import live_routes
from worker.rest.front import Front
from worker.rest.inference import inference_routes
from worker.rest.operations import Measured, operations_routes
from worker.rest.page import page_routes
from worker.rest.problems import Problem, answer_problem, describe_schemas, handle_problems
from worker.rest.ratings import Ratings, rating_schemas, ratings_routes
from worker.rest.security import Access, Hardened
from worker.rest.stored import stored_routes, trend_routes, words_routes

_DESCRIPTION = """\
Rates reviews with the model of the stream: the same bundle, the same checks, the same numbers.
Errors are problem details (RFC 9457, `application/problem+json`) that name the field at fault.
"""
PATH: Final = "/v1/ratings"


def make_app(front: Front) -> ASGIApp:
    """Return the application over what the process has started."""
    settings = front.process.settings
    access, ratings = Access(settings), Ratings(front)
    app: ASGIApp = Direct(_make_api(front, access, ratings), rate=ratings.answer, access=access)
    if settings.rest_cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.rest_cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app = Hardened(ServerErrorMiddleware(app, answer_problem), settings=settings)
    return Measured(app, metrics=front.rest_metrics, clock=front.process.clock, traces=front.process.traces)


def _make_api(front: Front, access: Access, ratings: Ratings) -> FastAPI:
    app = FastAPI(title="Starstream", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    handle_problems(app)
    describe_schemas(app, rating_schemas())
    reads, writes = access.rights()
    app.include_router(ratings_routes(front, ratings), dependencies=[reads])
    app.include_router(stored_routes(front, reads, writes))
    app.include_router(trend_routes(front, reads))
    app.include_router(words_routes(front, reads))
    app.include_router(live_routes(front, reads))
    app.include_router(inference_routes(front, reads))
    app.include_router(page_routes(front, reads))
    app.include_router(operations_routes(front, reads))
    return app


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """What the measuring reads of a route."""

    path: str


class Direct:
    """The application inside, and in front of it the short way to `POST /v1/ratings` without a query.

    FastAPI's own steps cost more than the rating (`hello_fastapi` of tests/benchmarks/front). It has the same route,
    for its document and for requests with a query; both call the same function.

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
