"""Reads a request: the ids in its path, and its body within limits and the reviews in it, by the stream's own rules.

Owns which ids have an address (all that a review or an app may have, a slash and a newline among them), the limits of a
body, and the two forms of `POST /v1/ratings`: one review, or `reviews` with several.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import Path, Request
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import ClientDisconnect

from schemas.input.fields import FieldFinder
from schemas.input.value import InvalidReviewError, describe_type, load
from schemas.review import MAX_ID_BYTES, Review, check_identifier, review_from
from worker.clock import Clock
from worker.rest.problems import FieldError, Problem
from worker.rest.security import RateLimit
from worker.settings import WorkerSettings
from worker.traces.request import step

MANY: Final = "reviews"
ReviewId = Annotated[str, Path(min_length=1, max_length=MAX_ID_BYTES, description="What the review is known by.")]
AppId = Annotated[str, Path(min_length=1, max_length=MAX_ID_BYTES, description="What was reviewed.")]
_UNREADABLE: Final = "\ufffd"  # what servers put in place of bytes that are not UTF-8


class IdConvertor(StringConvertor):
    """Takes every character: Starlette's `path` takes no newline."""

    regex = r"[\s\S]*"


register_url_convertor("id", IdConvertor())


async def check_path(request: Request) -> None:
    """Let a request through whose path is UTF-8: two ids must not become one by what cannot be read in them.

    Raises:
        Problem: 422, it is not.
    """
    if _UNREADABLE not in request.scope["path"]:
        return
    try:
        unquote_to_bytes(request.scope["raw_path"]).decode()
    except UnicodeDecodeError as error:
        raise Problem(422, f"the path is not UTF-8 at byte {error.start}; write ids as percent-encoded UTF-8") from None


def check_id(name: str, value: str) -> None:
    """Let an id through that a review may have.

    Raises:
        Problem: 422, it is not one.
    """
    try:
        check_identifier(name, value)
    except InvalidReviewError as error:
        raise Problem(422, str(error), [FieldError(pointer=name, detail=str(error), reason=error.reason)]) from None


@dataclass(frozen=True, slots=True)
class Posted:
    """The reviews of a request, each with the object it was read from."""

    reviews: list[Review]
    objects: list[dict[str, Any]]
    many: bool  # whether they came as a list


class Bodies:
    """Reads bodies within the limits of the settings."""

    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        self._settings = settings
        self._rate = RateLimit(settings.rest_rate_reviews, clock)
        self._clock = clock
        self._finder = FieldFinder(settings.field_paths)

    async def reviews(self, request: Request) -> Posted:
        """Return the reviews of a request.

        Raises:
            Problem: the body is too large, too slow, not JSON, or holds something that is not a review; or its client
                is over its rate.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise Problem(415, "the body must be JSON, with Content-Type: application/json")
        with step("parse", self._clock):
            return await self._parsed(request)

    async def _parsed(self, request: Request) -> Posted:
        value = await self.limited(request)
        try:
            found = load(value)
        except InvalidReviewError as error:
            detail = str(error).removeprefix("value: ")
            raise Problem(400, detail, [FieldError(pointer="", detail=detail, reason=error.reason)]) from None
        if not isinstance(found, dict):
            detail = f"expected an object with a text, or with {MANY}; came {describe_type(found)}"
            raise Problem(422, detail, [FieldError(pointer="", detail=detail, reason="wrong_type")])
        if MANY in found:
            if others := ", ".join(sorted(found.keys() - {MANY})):
                detail = f"expected {MANY} alone, or one review without it; came also {others:.200}"
                raise Problem(422, detail, [FieldError(pointer="", detail=detail)])
            posted = self._several(found[MANY])
            self.count(request, len(posted.reviews))
            return posted
        return self._posted([found], [""], many=False)

    async def limited(self, request: Request) -> bytes:
        """Return the bytes of a body, once its client's rate allows it; then `count` what is in it.

        Raises:
            Problem: it is too large or too slow, or its client is over its rate.
        """
        self._rate.take(_client(request))
        return await self._read(request)

    def count(self, request: Request, reviews: int) -> None:
        """Count the reviews of a request towards its client's rate."""
        self._rate.owe(_client(request), reviews - 1)

    async def _read(self, request: Request) -> bytes:
        settings = self._settings
        most = settings.rest_max_body_bytes
        too_large = partial(Problem, 413, f"the body is over {most} bytes (WORKER_REST_MAX_BODY_BYTES)")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 9 or int(length) > most:
            raise too_large()
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(415, "the body must not be compressed")
        parts = bytearray()
        try:
            async with asyncio.timeout(settings.rest_read_timeout_s):
                async for part in request.stream():
                    parts += part
                    if len(parts) > most:
                        raise too_large()
        except TimeoutError:
            raise Problem(408, "the body took too long (WORKER_REST_READ_TIMEOUT_S)") from None
        except ClientDisconnect:
            raise Problem(400, "the client left before its body was complete") from None
        return bytes(parts)

    def _several(self, found: Any) -> Posted:
        settings = self._settings
        most = settings.rest_max_reviews
        if not isinstance(found, list) or not 1 <= len(found) <= most:
            came = f"{len(found)}" if isinstance(found, list) else describe_type(found)
            detail = f"{MANY}: expected a list of 1 to {most} (WORKER_REST_MAX_REVIEWS); came {came}"
            raise Problem(422, detail, [FieldError(pointer=f"/{MANY}", detail=detail)])
        objects = [{"text": item} if isinstance(item, str) else item for item in found]
        return self._posted(objects, [f"/{MANY}/{number}" for number in range(len(found))], many=True)

    def _posted(self, objects: list[Any], pointers: list[str], *, many: bool) -> Posted:
        reviews, errors = [], []
        for found, pointer in zip(objects, pointers, strict=True):
            try:
                reviews.append(self._review(found))
            except InvalidReviewError as error:
                field, _, _ = str(error).partition(":")
                where = f"{pointer}/{field}" if field in {"text", "review_id"} else pointer
                errors.append(FieldError(pointer=where, detail=str(error), reason=error.reason))
        if errors:
            count = f"{len(errors)} of {len(objects)} reviews cannot be rated, so none was; the first: " if many else ""
            raise Problem(422, f"{count}{errors[0].detail}", errors)
        return Posted(reviews, objects, many)

    def _review(self, found: Any) -> Review:
        if not isinstance(found, dict):
            raise InvalidReviewError("wrong_type", f"value: expected a text or an object, came {describe_type(found)}")
        return review_from(found, self._finder, self._settings.max_text_chars, setting=None)


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
