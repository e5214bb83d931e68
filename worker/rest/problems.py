"""Errors as RFC 9457 has them: `application/problem+json`, each naming the field at fault.

Owns the form of an error, and its description in the OpenAPI document. Never holds a review's text.
"""

from __future__ import annotations

import http
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from worker.errors import RefusedError, WorkerError

MEDIA_TYPE: Final = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="JSON Pointer (RFC 6901) to what is wrong, or the parameter's name.")
    detail: str = Field(description="What was expected; never the review's text.")
    reason: str | None = Field(None, description="One of a few labels, the same as in a dead letter.")


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What happened, and what to do.")
    errors: list[FieldError] = Field([], description="The fields at fault, when the request is.")


class Problem(Exception):  # noqa: N818  (the RFC's word)
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return it as HTTP has it."""
        title = http.HTTPStatus(self.status).phrase
        body = ProblemBody(title=title, status=self.status, detail=str(self), errors=self.errors)
        return Response(body.model_dump_json(exclude_none=True), self.status, self.headers, MEDIA_TYPE)


def try_again(status: int, detail: str, after_s: int = 1) -> Problem:
    """Return an error that passes by itself."""
    return Problem(status, detail, headers={"Retry-After": str(after_s)})


def describe_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": http.HTTPStatus(status).phrase, "content": content} for status in statuses}


def describe_schemas(app: FastAPI, schemas: Mapping[str, Any]) -> None:
    """Add schemas that routes refer to, and the form of an error, to an app's OpenAPI document."""
    make = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            known = make().setdefault("components", {}).setdefault("schemas", {})
            found = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
            known |= {**found.pop("$defs"), "ProblemBody": found, **schemas}
        return make()

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI's documentation has it


async def answer_problem(request: Request, error: Exception) -> Response:
    """Return the answer to a request that failed."""
    problem = _problem_of(error)
    if problem.status == http.HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names those of the first route of a path
        problem.headers["Allow"] = ", ".join(_methods_of(request))
    if request.url.path.startswith("/v2"):  # the Open Inference Protocol has a form of its own
        return JSONResponse({"error": str(problem)}, problem.status, problem.headers)
    return problem.response()


def handle_problems(app: FastAPI) -> None:
    """Make every error of an app such an answer, those of the framework too."""
    for kind in (Problem, RequestValidationError, HTTPException, WorkerError, Exception):
        app.add_exception_handler(kind, answer_problem)


def _methods_of(request: Request) -> Iterator[str]:
    for method in ("GET", "POST", "DELETE"):
        asked = {**request.scope, "method": method}
        if any(route.matches(asked)[0] is Match.FULL for route in request.app.routes):
            yield method


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        found = [FieldError(pointer=str(fault["loc"][-1]), detail=fault["msg"]) for fault in error.errors()]
        return Problem(422, "; ".join(f"{fault.pointer}: {fault.detail}" for fault in found), found)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, RefusedError):
        return Problem(422, f"the brokers refuse it: {error}")
    if isinstance(error, WorkerError):
        return try_again(503, str(error))
    return Problem(500, "an unforeseen error; the log of `serve` has its traceback")
