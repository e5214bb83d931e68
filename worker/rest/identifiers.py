"""Ids in the path of a request: any id that a review or an app may have, a slash and a newline among them.

Owns how they are read and checked.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import unquote_to_bytes

from fastapi import Path, Request
from starlette.convertors import StringConvertor, register_url_convertor

from schemas.input.value import InvalidReviewError
from schemas.review import MAX_ID_BYTES, check_identifier
from worker.rest.problems import FieldError, Problem

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
