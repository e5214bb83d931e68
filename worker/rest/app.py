"""The HTTP application: puts the routes together, and what every request goes through.

Owns the order of those steps and the OpenAPI document. `worker.rest.server` runs it.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from schemas import __version__
from worker.rest.direct import Direct
from worker.rest.front import Front
from worker.rest.inference import inference_routes
from worker.rest.live import live_routes
from worker.rest.operations import Measured, operations_routes
from worker.rest.page import page_routes
from worker.rest.problems import answer_problem, describe_schemas, handle_problems
from worker.rest.ratings import Ratings, rating_schemas, ratings_routes
from worker.rest.security import Access, Hardened
from worker.rest.stored import stored_routes, words_routes

_DESCRIPTION = """\
Rates reviews with the model of the stream: the same bundle, the same checks, the same numbers.
Errors are problem details (RFC 9457, `application/problem+json`) that name the field at fault.
"""


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
    return Measured(app, metrics=front.rest_metrics, clock=front.process.clock)


def _make_api(front: Front, access: Access, ratings: Ratings) -> FastAPI:
    app = FastAPI(title="Starstream", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    handle_problems(app)
    describe_schemas(app, rating_schemas())
    reads, writes = access.rights()
    app.include_router(ratings_routes(front, ratings), dependencies=[reads])
    app.include_router(stored_routes(front, reads, writes))
    app.include_router(words_routes(front, reads))
    app.include_router(live_routes(front, reads))
    app.include_router(inference_routes(front, reads))
    app.include_router(page_routes(front, reads))
    app.include_router(operations_routes(front, reads))
    return app
