"""`POST /v1/ratings` rates texts; `GET /v1/model` says by which model.

Owns the form of the answers. A rating here is the stream's without its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json
from starlette.responses import JSONResponse

from schemas.rating import RATING
from schemas.review import MAX_ID_BYTES, Review
from worker.model.explaining import MOST_TEXTS, Explainer
from worker.model.loading import starter_remark
from worker.records import Rated
from worker.rest.front import Front
from worker.rest.lane import Lane
from worker.rest.problems import Problem, describe_problems
from worker.rest.request import MANY, Bodies
from worker.settings import WorkerSettings

_SOURCE: Final = b',"source":{'  # inside a string the marks would be escaped, so this is the field itself
JSON: Final = "application/json"
_EXPLAIN: Final = f"Add what each word does to the rating, as `explanation`; for at most {MOST_TEXTS} reviews."

_TEXT: Final = "I don't think this is good at all"
_EXAMPLES: Final = {
    "one": {"summary": "one review", "value": {"text": _TEXT}},
    "many": {"summary": "several", "value": {MANY: [_TEXT, {"text": "love it", "review_id": "r-2", "app_id": "maps"}]}},
}
_RATING_EXAMPLE: Final = {
    "review_id": "r-2", "app_id": "maps", "rating": 5, "expected_rating": 4.7912, "confidence": 0.868312,
    "uncertain": False, "probabilities": [0.01, 0.01, 0.021, 0.090688, 0.868312],
    "model_version": "20260101T000000Z-70700000", "rated_at": "2026-01-01T00:00:00.000Z",
}  # fmt: skip


def describe_reviews(settings: WorkerSettings) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body with reviews."""
    # As near as JSON Schema gets to `schemas.review.check_text`: no null byte, and something that can be seen.
    visible = r"^[^\u0000]*[^\u0000-\u0020\u007f-\u00a0\u00ad][^\u0000]*$"
    text = {"type": "string", "pattern": visible, "maxLength": settings.max_text_chars}
    review = {
        "type": "object",
        "required": ["text"],
        # The optional fields have no type: as in the stream, what cannot be used of them is left out.
        "properties": {
            "text": {**text, "description": "What was written; also content, review or body."},
            "review_id": {
                "maxLength": MAX_ID_BYTES,
                "description": "What it is known by, a string; made up when absent.",
            },
            "app_id": {"description": "What was reviewed, a string."},
            "score": {"description": "The author's own stars, a number: feedback, never an input to the model."},
        },
    }
    items = {"type": "array", "minItems": 1, "maxItems": settings.rest_max_reviews, "items": {"anyOf": [text, review]}}
    many = {"type": "object", "required": [MANY], "properties": {MANY: items}, "additionalProperties": False}
    schema = {"anyOf": [{**review, "not": {"required": [MANY]}}, many]}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema, "examples": _EXAMPLES}}}}


def rating_schemas() -> dict[str, Any]:
    """Return the components that answers refer to: a rating as the topic has it, and one without its source."""
    whole = RATING.json_schema(ref_template="#/components/schemas/{model}")
    parts = whole.pop("$defs", {})
    properties = {name: part for name, part in whole["properties"].items() if name != "source"}
    required = [name for name in whole["required"] if name != "source"]
    return {**parts, "Rating": whole, "RatedReview": {**whole, "properties": properties, "required": required}}


def _describe_ratings() -> dict[str, Any]:
    """Return what the OpenAPI document says of an answer with ratings."""
    explanation = {"type": "object", "description": "With `explain=true`; as `starstream-worker explain --json`."}
    with_words = {"type": "object", "properties": {"explanation": explanation}}
    one = {"allOf": [{"$ref": "#/components/schemas/RatedReview"}, with_words]}
    many = {"type": "object", "required": ["ratings"], "properties": {"ratings": {"type": "array", "items": one}}}
    return {
        "description": "The ratings, in order",
        "content": {JSON: {"schema": {"anyOf": [one, many]}, "example": _RATING_EXAMPLE}},
    }


def rating_json(rated: Sequence[Rated], *, many: bool) -> bytes:
    """Return ratings as an answer has them."""
    if many:
        return b'{"ratings":[' + b",".join(_without_source(outcome.value) for outcome in rated) + b"]}"
    return _without_source(rated[0].value)


def _without_source(value: bytes) -> bytes:
    """Return the JSON of a rating without the position that a request does not have."""
    before, _, rest = value.partition(_SOURCE)
    return before + rest.partition(b"}")[2]


def explained_json(explainer: Explainer, reviews: Sequence[Review], rated: Sequence[Rated], *, many: bool) -> bytes:
    """Return ratings as an answer has them, each with its `explanation`; blocks.

    Raises:
        ModelError: a version that rated is not in the registry any more.
    """
    ratings = [
        {
            **RATING.dump_python(outcome.rating, mode="json", exclude={"source"}),
            "explanation": explainer.explain(review.text, outcome.rating.model_version).explanation_fields(),
        }
        for review, outcome in zip(reviews, rated, strict=True)
    ]
    return to_json({"ratings": ratings} if many else ratings[0])


class Ratings:
    """Rates the reviews of a request, for FastAPI's route and for the short way past it."""

    def __init__(self, front: Front) -> None:
        settings = front.process.settings
        self._front = front
        self._bodies = Bodies(settings, front.process.clock)
        self._explainer = Explainer(settings)
        self._explaining = Lane("explain", threads=1, timeout_s=settings.rest_deadline_s)

    async def answer(self, request: Request, *, explain: bool = False) -> Response:
        """Return the ratings of a request's reviews.

        Raises:
            Problem: it holds something else, or cannot be rated now.
        """
        posted = await self._bodies.reviews(request)
        if explain and len(posted.reviews) > MOST_TEXTS:
            raise Problem(422, f"explain: at most {MOST_TEXTS} reviews at once; came {len(posted.reviews)}")
        pointers = [f"/{MANY}/{number}" if posted.many else "" for number in range(len(posted.reviews))]
        rated = await self._front.rate(posted.reviews, pointers)
        if explain:
            explained = partial(explained_json, self._explainer, posted.reviews, rated, many=posted.many)
            return Response(await self._explaining.call(explained), media_type=JSON)
        return Response(rating_json(rated, many=posted.many), media_type=JSON)


def ratings_routes(front: Front, ratings: Ratings) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1")

    @router.post(
        "/ratings",
        summary="Rate one review or many",
        tags=["ratings"],
        openapi_extra=describe_reviews(front.process.settings),
        responses={200: _describe_ratings(), **describe_problems(400, 401, 408, 413, 415, 422, 429, 503)},
    )
    async def rate(request: Request, explain: Annotated[bool, Query(description=_EXPLAIN)] = False) -> Response:
        return await ratings.answer(request, explain=explain)

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
        "remark": starter_remark(front.process.settings, manifest.version),
        "channel": front.process.settings.channel,
        "task": manifest.task,
        "labels": list(manifest.decision.labels),
        "created_at": manifest.created_at,
        "cell": manifest.cell,
        "variant": manifest.variant,
        "metrics": manifest.metrics,
        "shadow_version": lineup.candidate.version if lineup.candidate else None,
        "canary_share": front.process.settings.canary_share if lineup.candidate else 0.0,
    }
