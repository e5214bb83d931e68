"""The page at `/`, the report of the model that serves, and the API's own page at `/docs`.

Owns what a browser may do on each of them: the page's script and style are named by their hashes, so that nothing that
came with a review could run; the report has no script. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import partial
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response, params
from fastapi.openapi.docs import get_swagger_ui_html

from worker.model.registry import read_report
from worker.rest.front import Front
from worker.rest.lane import Lane
from worker.rest.problems import Problem, describe_problems

_CLOSED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_REPORT: Final = f"{_CLOSED}; style-src 'unsafe-inline'; img-src data:"
_SWAGGER: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}  # of fastapi-offline


def page_routes(front: Front, reads: params.Depends) -> APIRouter:
    """Return the routes; the page itself holds nothing that a token protects."""
    router = APIRouter()
    page = files("worker.rest").joinpath("page.html").read_text(encoding="utf-8")
    policy = f"{_CLOSED}; connect-src 'self'; script-src {_hash(page, 'script')}; style-src {_hash(page, 'style')}"
    swagger = _swagger_page()
    # Swagger UI sets styles of its own on elements; its one inline script is named by its hash.
    swagger_policy = (
        f"{_CLOSED}; connect-src 'self'; script-src 'self' {_hash(swagger, 'script')}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:"
    )
    settings = front.process.settings
    registry = Lane("registry", threads=1, timeout_s=settings.rest_deadline_s)

    @router.get("/", include_in_schema=False)
    async def root() -> Response:
        return _html(page, policy)

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _html(swagger, swagger_policy)

    @router.get("/docs/{name}", include_in_schema=False)
    async def docs_part(name: str) -> Response:
        if name not in _SWAGGER:
            raise Problem(404, f"there are {' and '.join(_SWAGGER)}")
        content = files("fastapi_offline").joinpath("static", name).read_bytes()
        # Not `no-store`, as the other answers are: it is large and never changes while this version serves.
        return Response(content, media_type=_SWAGGER[name], headers={"Cache-Control": "private, max-age=3600"})

    @router.get(
        "/v1/model/report",
        summary="The training report of the model that rates",
        tags=["model"],
        dependencies=[reads],
        responses={200: {"content": {"text/html": {}}}, **describe_problems(401, 404, 503)},
    )
    async def report() -> Response:
        found = await registry.call(partial(read_report, settings.registry, front.classifier.version))
        if found is None:
            raise Problem(404, "this version has no report")
        return _html(found, _REPORT)

    return router


def _swagger_page() -> str:
    made = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Starstream",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    return bytes(made.body).decode()


def _html(text: str, policy: str) -> Response:
    return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy})


def _hash(page: str, tag: str) -> str:
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
