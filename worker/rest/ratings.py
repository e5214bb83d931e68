"""`POST /v1/ratings` rates texts; `GET /v1/model` says by which model.

Owns the form of the answers. A rating here is the stream's without its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter
from starlette.responses import JSONResponse

from schemas.rating import RATING, Rating
from worker.records import Rated
from worker.rest.body import MANY, Bodies
from worker.rest.front import Front
from worker.rest.problems import describe_problems

_RATINGS: Final = TypeAdapter(list[Rating])
JSON: Final = "application/json"

_REVIEW: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "minLength": 1, "description": "What was written; also content, review or body."},
        "review_id": {"type": "string", "description": "What the review is known by; made up when absent."},
        "app_id": {"type": "string", "description": "What was reviewed."},
        "score": {"type": "number", "description": "The author's own stars: feedback, never an input to the model."},
    },
}
_SEVERAL: Final[dict[str, Any]] = {
    "type": "object",
    "required": [MANY],
    "properties": {MANY: {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, _REVIEW]}}},
}
_TEXT: Final = "I don't think this is good at all"
_EXAMPLES: Final = {
    "one": {"summary": "one review", "value": {"text": _TEXT}},
    "many": {"summary": "several", "value": {MANY: [_TEXT, {"text": "love it", "review_id": "r-2", "app_id": "maps"}]}},
}
REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": {"anyOf": [_REVIEW, _SEVERAL]}, "examples": _EXAMPLES}},
    }
}
_RATING_EXAMPLE: Final = {
    "review_id": "r-2", "app_id": "maps", "rating": 5, "expected_rating": 4.7912, "confidence": 0.868312,
    "uncertain": False, "probabilities": [0.01, 0.01, 0.021, 0.090688, 0.868312],
    "model_version": "20260101T000000Z-70700000", "rated_at": "2026-01-01T00:00:00.000Z",
}  # fmt: skip


def rating_schema() -> dict[str, Any]:
    """Return the JSON Schema of a rating without its source."""
    schema = RATING.json_schema()
    schema.pop("$defs", None)
    schema["properties"].pop("source")
    schema["required"].remove("source")
    return schema


def rating_json(rated: Sequence[Rated], *, many: bool) -> bytes:
    """Return ratings as an answer has them."""
    if many:
        ratings = [each.rating for each in rated]
        return b'{"ratings":' + _RATINGS.dump_json(ratings, exclude={"__all__": {"source"}}) + b"}"
    return RATING.dump_json(rated[0].rating, exclude={"source"})


def ratings_routes(front: Front) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1")
    bodies = Bodies(front.process.settings, front.process.clock)
    one = rating_schema()
    many = {"type": "object", "required": ["ratings"], "properties": {"ratings": {"type": "array", "items": one}}}
    answer = {"schema": {"anyOf": [one, many]}, "example": _RATING_EXAMPLE}

    @router.post(
        "/ratings",
        summary="Rate one review or many",
        tags=["ratings"],
        openapi_extra=REQUEST,
        responses={
            200: {"description": "The ratings, in order", "content": {JSON: answer}},
            **describe_problems(400, 401, 408, 413, 415, 422, 429, 503),
        },
    )
    async def rate(request: Request) -> Response:
        posted = await bodies.reviews(request)
        pointers = [f"/{MANY}/{number}" if posted.many else "" for number in range(len(posted.reviews))]
        rated = await front.rate(posted.reviews, pointers)
        return Response(rating_json(rated, many=posted.many), media_type=JSON)

    @router.get("/model", summary="The model that rates", tags=["model"], responses=describe_problems(401))
    async def model() -> Response:
        return JSONResponse(describe_model(front))

    return router


def describe_model(front: Front) -> dict[str, Any]:
    """Return what is served, from its manifest."""
    lineup = front.classifier.lineup
    manifest = lineup.stable.manifest
    return {
        "model_version": manifest.version,
        "channel": front.process.settings.channel,
        "labels": list(manifest.decision.labels),
        "created_at": manifest.created_at,
        "cell": manifest.cell,
        "variant": manifest.variant,
        "metrics": manifest.metrics,
        "shadow_version": lineup.candidate.version if lineup.candidate else None,
        "canary_share": front.process.settings.canary_share if lineup.candidate else 0.0,
    }
