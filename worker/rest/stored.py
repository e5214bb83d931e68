"""Reads ratings and summaries from Redis, and sends reviews and deletions to Kafka.

Owns those routes. Nothing here writes to Redis: a deletion is a tombstone in the input topic, so that the workers carry
it to every store, and a review is rated by them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response, params
from pydantic_core import to_json
from starlette.responses import JSONResponse

from schemas.personal.mask import Masker
from schemas.rating import CONTENT_TYPE, RATING
from worker.errors import ServiceError, SettingsError
from worker.kafka.outgoing import Outgoing
from worker.kafka.python.sender import Sender
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import TrendBy, hours_of
from worker.rest.front import Front
from worker.rest.lane import Lane
from worker.rest.problems import FieldError, Problem, describe_problems
from worker.rest.ratings import JSON, describe_reviews
from worker.rest.request import AppId, Bodies, ReviewId, check_id, check_path
from worker.settings import WorkerSettings
from worker.traces.request import trace_headers
from worker.words.period import SINCE_SYNTAX, By, Period, parse_since
from worker.words.report import Question, telling_words

_MOST_REVIEWS: Final = 20_000  # of an app's words: more are sampled
_READ_S: Final = 60.0  # longest read of the topics for one answer
_TREND: Final = {
    "app_id": "maps",
    "since": "7d",
    "by": "day",
    "rows": [{"name": "2026-11-27", "count": 3, "sum": 11, "mean": 3.6667, "stars": {"1": 1, "5": 2}}],
    "outside": 0,
}
_HEADERS: Final = [("content-type", CONTENT_TYPE)]


class Stored:
    """Redis and the input topic; each is connected to when first used. One thread a service calls it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._sender: Sender | None = None

    @cached_property
    def ratings(self) -> RatingsInRedis:
        """Return the reader of Redis."""
        return RatingsInRedis(self._settings)

    def send(self, records: Sequence[tuple[str, bytes | None]], trace: Sequence[tuple[str, bytes]]) -> None:
        """Send reviews by id to the input topic, None for a deletion, and wait until the brokers have them.

        Each record has the headers `trace`, with which the stream goes on with the request's trace.

        Raises:
            ServiceError: they may not have them.
        """
        topic = self._settings.input_topics[0]
        try:
            if self._sender is None:
                self._sender = Sender(self._settings)
            for review_id, value in records:
                headers = [*(_HEADERS if value is not None else ()), *trace]
                record = Outgoing(topic, review_id.encode(), value, headers, None)
                self._sender.send(record, f"send to {topic}")
            self._sender.flush()
        except ServiceError:
            self.close()
            raise

    def close(self) -> None:
        """Close the producer; it is made again when it is needed."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()


def stored_routes(front: Front, reads: params.Depends, writes: params.Depends) -> APIRouter:
    """Return the routes."""
    settings = front.process.settings
    router = APIRouter(prefix="/v1", dependencies=[Depends(check_path)])
    bodies = Bodies(settings, front.process.clock)
    stored = Stored(settings)
    redis = Lane("redis", threads=4, timeout_s=settings.redis_timeout_s)
    kafka = Lane("kafka", threads=1, timeout_s=settings.request_timeout_s)
    failures = describe_problems(401, 404, 422, 503)
    rating_schema = {"$ref": "#/components/schemas/Rating"}
    found_rating: dict[int | str, dict[str, Any]] = {
        200: {"description": "As the ratings topic has it", "content": {JSON: {"schema": rating_schema}}}
    }

    @router.get(
        "/ratings/{review_id:id}",
        summary="A review's rating",
        tags=["ratings"],
        dependencies=[reads],
        responses={**found_rating, **failures},
    )
    async def rating(review_id: ReviewId) -> Response:
        check_id("review_id", review_id)
        found = await redis.call(lambda: stored.ratings.rating(review_id))
        if found is None:
            raise Problem(404, "there is no rating: not rated yet, deleted, or too old (WORKER_REDIS_TTL_S)")
        return Response(RATING.dump_json(found), media_type=JSON)

    @router.get(
        "/apps/{app_id:id}/summary",
        summary="Count and mean of an app's stars",
        tags=["apps"],
        dependencies=[reads],
        responses=failures,
    )
    async def summary(app_id: AppId) -> Response:
        check_id("app_id", app_id)
        if not settings.redis_summary:
            raise Problem(404, "WORKER_REDIS_SUMMARY is false: no summaries are kept")
        found = await redis.call(lambda: stored.ratings.summary(app_id))
        if found is None:
            raise Problem(404, "no review of this app has a rating")
        return JSONResponse({"app_id": app_id, **found.to_fields()})

    accepted: dict[str, Any] = {"dependencies": [writes], "status_code": 202}

    @router.delete(
        "/ratings/{review_id:id}",
        summary="Delete a review and its rating, in every store",
        tags=["ratings"],
        responses=describe_problems(401, 403, 422, 503),
        **accepted,
    )
    async def delete(review_id: ReviewId) -> Response:
        check_id("review_id", review_id)
        await kafka.call(partial(stored.send, [(review_id, None)], trace_headers()))
        return JSONResponse({"review_id": review_id}, 202)

    @router.post(
        "/reviews",
        summary="Send one review or many to the stream, where the workers rate them",
        tags=["reviews"],
        openapi_extra=describe_reviews(settings),
        responses=describe_problems(400, 401, 403, 408, 413, 415, 422, 429, 503),
        **accepted,
    )
    async def send(request: Request) -> Response:
        posted = await bodies.reviews(request)
        ids = [review.review_id or uuid.uuid4().hex for review in posted.reviews]
        as_text = settings.input_format == "text"
        values = (
            review.text.encode() if as_text else to_json(found)
            for review, found in zip(posted.reviews, posted.objects, strict=True)
        )
        await kafka.call(partial(stored.send, [*zip(ids, values, strict=True)], trace_headers()))
        return JSONResponse({"review_ids": ids} if posted.many else {"review_id": ids[0]}, 202)

    return router


def trend_routes(front: Front, reads: params.Depends) -> APIRouter:
    """Return the route of an app's trend."""
    settings, clock = front.process.settings, front.process.clock
    router = APIRouter(prefix="/v1", dependencies=[Depends(check_path)])
    stored = Stored(settings)
    redis = Lane("redis", threads=1, timeout_s=settings.redis_timeout_s)
    found_trend: dict[int | str, dict[str, Any]] = {
        200: {"description": "The rows that have reviews", "content": {JSON: {"example": _TREND}}}
    }

    @router.get(
        "/apps/{app_id:id}/trend",
        summary="An app's stars by day, hour or version",
        tags=["apps"],
        dependencies=[reads],
        responses={**found_trend, **describe_problems(401, 404, 422, 503)},
    )
    async def trend(
        app_id: AppId,
        since: Annotated[str, Query(description=f"The period: {SINCE_SYNTAX}.")] = "7d",
        by: Annotated[TrendBy, Query(description="How its reviews are grouped.")] = "day",
    ) -> Response:
        check_id("app_id", app_id)
        if not settings.keeps_trends:
            raise Problem(404, f"no trends are kept: {settings.why_no_trends}")
        period = _period(since, clock.wall())
        hours = hours_of(period.now_s, min(period.length_s, settings.trend_ttl_s))
        found = await redis.call(lambda: stored.ratings.trend(app_id, hours))
        if not found.rows(by):
            raise Problem(404, f"no review of this app was written in the last {since}")
        return JSONResponse({"app_id": app_id, "since": since, **found.to_fields(by)})

    return router


def words_routes(front: Front, reads: params.Depends) -> APIRouter:
    """Return the route of an app's telling words."""
    settings, clock = front.process.settings, front.process.clock
    router = APIRouter(prefix="/v1", dependencies=[Depends(check_path)])
    topics = Lane("topics", threads=1, timeout_s=max(settings.request_timeout_s, _READ_S))

    @router.get(
        "/apps/{app_id:id}/words",
        summary="The words that tell an app's last days from the time before",
        tags=["apps"],
        dependencies=[reads],
        responses=describe_problems(401, 404, 422, 503),
    )
    async def words(
        app_id: AppId,
        since: Annotated[str, Query(description=f"The period: {SINCE_SYNTAX}.")] = "7d",
        by: Annotated[By, Query(description="How its reviews are grouped.")] = "star",
    ) -> Response:
        check_id("app_id", app_id)
        period = _period(since, clock.wall())
        asked = Question(app_id, period, by, most_reviews=_MOST_REVIEWS)
        found = await topics.call(partial(telling_words, settings, clock, asked, Masker()))
        if not found.now.reviews:
            raise Problem(404, f"no review of this app was rated in the last {since}")
        return JSONResponse(found.to_fields())

    return router


def _period(since: str, now_s: float) -> Period:
    try:
        return parse_since(since, now_s)
    except SettingsError as error:
        raise Problem(422, str(error), [FieldError(pointer="since", detail=str(error))]) from None
