"""The input contract: the value of a record of the topic `reviews` is a Review, or is refused with a reason.

Owns which values are reviews, and what a review is known by. `fields` finds the parts. Never knows a Kafka client:
`worker.stream.parse` and `trainer.collect` pass in a record's parts.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

from pydantic import Field, TypeAdapter

from schemas.input.fields import FieldFinder, describe_names, likely_text
from schemas.input.known_fields import KnownFields
from schemas.input.value import InvalidReviewError, ValueFormat, decode, describe_type, load, number_of, read_value

MAX_ID_BYTES = 256
DEFAULT_MAX_TEXT_CHARS = 20_000

# Characters that count as letters or symbols but show nothing: fillers, a blank Braille cell, variation selectors.
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(0xFE00 + i) for i in range(16)}


def _refuse_without_text(found: Mapping[str, Any], finder: FieldFinder, setting: str | None) -> NoReturn:
    if finder.finds("text", [name for name, value in found.items() if value is None]):
        raise InvalidReviewError("no_text", "text: null, expected a string")
    guess = likely_text(found)
    if setting is None:
        hint = f"; if {guess} holds it, send it as {finder.paths.text.partition(',')[0]}" if guess else ""
    else:
        hint = f"; if {guess} holds the text: {setting}={guess}" if guess else f"; name its field with {setting}"
    raise InvalidReviewError(
        "no_text", f"text: expected in {finder.paths.text}; the fields are: {describe_names(found)}{hint}"
    )


def _name(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | UUID) and not isinstance(value, bool) else None


def _short_name(value: Any) -> str | None:
    if type(value) is str and len(value) <= MAX_ID_BYTES and value.isascii() and "\0" not in value:  # nearly every name
        return value
    name = _name(value)
    if isinstance(value, float) and math.isfinite(value):  # as a table has it that lacks some of a column's numbers
        name = str(int(value) if value.is_integer() else value)
    try:
        check_identifier("", name or "")
    except InvalidReviewError:
        return None
    return name


def _time(value: Any) -> str | int | float | None:
    if isinstance(value, date):
        return value.isoformat()  # Avro and Parquet have types for times
    if type(value) not in {str, int}:
        return number_of(value)
    return (value or None) if _short_name(value) is not None else None


@dataclass(slots=True)
class Review:
    """A review as its producer sent it. Unknown fields are ignored.

    `ignored` names the optional fields whose values could not be used: they never cost a review its rating.
    """

    text: Annotated[str, Field(description="What was written.")]
    review_id: Annotated[
        str | None, Field(description=f"Identity, at most {MAX_ID_BYTES} bytes of UTF-8; else the record key is.")
    ] = None
    app_id: Annotated[str | None, Field(description="What was reviewed.")] = None
    score: Annotated[
        int | float | None, Field(description="The author's own stars: feedback, never an input to the model.")
    ] = None
    created_at: Annotated[str | int | float | None, Field(description="When it was written, as sent.")] = None
    app_version: Annotated[str | None, Field(description="The version of what was reviewed.")] = None
    ignored: tuple[str, ...] = ()


REVIEW: Final = TypeAdapter(Review)
OPTIONAL_FIELDS: Final = ("review_id", "app_id", "score", "created_at", "app_version")
_DEFAULT_FINDER: Final = FieldFinder()


def parse_review(
    value: bytes,
    *,
    input_format: ValueFormat = "auto",
    finder: FieldFinder = _DEFAULT_FINDER,
    max_text_chars: int = DEFAULT_MAX_TEXT_CHARS,
    known: KnownFields | None = None,
) -> Review:
    """Read a record's value as a review.

    With `auto`, a JSON object is searched for its fields and a JSON string is its text (or the object that it holds).
    Other JSON and XML are refused, as no person wrote them as a review. Anything else that is UTF-8 is the text itself.

    Args:
        value: the record's value, never a tombstone.
        input_format: `auto`, or `json` / `text` to allow one form only.
        finder: where the parts of the review are in an object.
        max_text_chars: longest text allowed, in Unicode code points.
        known: of the same finder; reads objects like those before in a part of the time.

    Raises:
        InvalidReviewError: with the reason and the field at fault; the message never holds the review's text.
    """
    parts = known.parts(value) if known is not None and input_format != "text" else None
    if parts is not None and parts[0] is not None:
        return _review_of_parts(parts, max_text_chars)
    if input_format == "text":
        review = Review(decode(value))
        check_text(review.text, max_text_chars)
        return review
    found = load(value) if value[:1] == b"{" else read_value(decode(value), input_format)  # the usual case first
    review = review_of(found, finder, max_text_chars)
    if known is not None and isinstance(found, dict):
        known.learn(found)
    return review


def review_of(found: Any, finder: FieldFinder, max_text_chars: int = DEFAULT_MAX_TEXT_CHARS) -> Review:
    """Make a review of what a value holds: an object with fields, or the text itself.

    Raises:
        InvalidReviewError: it is neither, or no review.
    """
    if isinstance(found, dict):
        return review_from(found, finder, max_text_chars)
    if not isinstance(found, str):
        raise InvalidReviewError("wrong_type", f"value: {describe_type(found)}, expected an object with a text")
    check_text(found, max_text_chars)
    return Review(found)


def review_from(
    found: Mapping[str, Any],
    finder: FieldFinder = _DEFAULT_FINDER,
    max_text_chars: int = DEFAULT_MAX_TEXT_CHARS,
    *,
    setting: str | None = "WORKER_TEXT_FIELD",
) -> Review:
    """Make a review of an object's fields, or of the cells of a row.

    Args:
        found: the fields by name.
        finder: where the parts are.
        max_text_chars: longest text allowed, in Unicode code points.
        setting: what to name in the message when there is no text; None when its sender can set nothing.

    Raises:
        InvalidReviewError: there is no text that can be rated, or the id cannot be a key.
    """
    parts = finder.find(found)
    if parts[0] is None:
        _refuse_without_text(found, finder, setting)
    return _review_of_parts(parts, max_text_chars)


def _review_of_parts(parts: Sequence[Any], max_text_chars: int) -> Review:
    text, review_id, app_id, score, created_at, app_version = sent = tuple(parts)
    if not isinstance(text, str):
        raise InvalidReviewError("wrong_type", f"text: {describe_type(text)}, expected a string")
    check_text(text, max_text_chars)
    if review_id is not None and (review_id := _name(review_id) or None) is not None:
        check_identifier("review_id", review_id)
    if app_id is not None:
        app_id = _short_name(app_id) or None
    if score is not None:
        score = number_of(score)
    if created_at is not None:
        created_at = _time(created_at)
    if app_version is not None:
        app_version = _short_name(app_version) or None
    review = Review(text, review_id, app_id, score, created_at, app_version)
    if sent != (text, review_id, app_id, score, created_at, app_version):
        review.ignored = tuple(
            name
            for name, value in zip(OPTIONAL_FIELDS, sent[1:], strict=True)
            if value is not None and value != "" and getattr(review, name) is None
        )
    return review


def deleted_row_id(value: Any, finder: FieldFinder) -> str | None:
    """Return the id of the review whose row a change event of Debezium deletes; None when the value is no such event.

    Such an event has the row as it was in `before`, null in `after`, and "d" for its operation.

    Args:
        value: JSON in bytes, or what was decoded already.
        finder: where the parts are.
    """
    if isinstance(value, bytes) and b'"before"' not in value:
        return None
    try:
        found = load(decode(value).strip()) if isinstance(value, bytes) else value
    except InvalidReviewError:  # a text, or an object inside a JSON string
        return None
    event = found.get("payload", found) if isinstance(found, dict) else None
    if not isinstance(event, dict) or event.get("op") != "d" or not isinstance(event.get("before"), dict):
        return None
    return _short_name(finder.find({"after": event["before"]})[1]) or None


def review_id_of(review: Review, key: bytes | None, topic: str, partition: int, offset: int) -> str:
    """Return what a review is known by: its `review_id`, else the record's key, else `<topic>-<partition>-<offset>`.

    Raises:
        InvalidReviewError: the key is needed, and is not an identifier.
    """
    if review.review_id is not None:
        return review.review_id
    return _key_text(key) if key else position_id(topic, partition, offset)


def position_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of a review whose record has neither an id nor a key."""
    return f"{topic}-{partition}-{offset}"


def deleted_id(key: bytes | None) -> str:
    """Return the id of the review that a tombstone deletes: its key.

    Raises:
        InvalidReviewError: there is no key, or it is not an identifier.
    """
    if not key:
        raise InvalidReviewError(
            "no_identity",
            "key: missing; a null value deletes the review that its key names: send the id as the key",
        )
    return _key_text(key)


def _key_text(key: bytes) -> str:
    try:
        text = key.hex() if b"\0" in key else key.decode("utf-8")
    except UnicodeDecodeError:
        text = key.hex()  # a binary key, such as a serialized number or UUID
    check_identifier("key", text)
    return text


def check_identifier(name: str, value: str) -> None:
    """Refuse an identifier that is too long for a key, holds a null byte, or is not UTF-8.

    Raises:
        InvalidReviewError: with reason `bad_identifier`.
    """
    if "\0" in value:
        raise InvalidReviewError("bad_identifier", f"{name}: contains a null byte; remove it")
    try:
        length = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:  # half of a surrogate pair, or a byte of another encoding
        raise InvalidReviewError("bad_identifier", f"{name}: not UTF-8 at character {error.start}") from None
    if length > MAX_ID_BYTES:
        raise InvalidReviewError("bad_identifier", f"{name}: longer than {MAX_ID_BYTES} bytes of UTF-8; shorten it")


def check_text(text: str, max_text_chars: int = DEFAULT_MAX_TEXT_CHARS) -> None:
    """Refuse a text that cannot be rated.

    Raises:
        InvalidReviewError: it is blank, longer than `max_text_chars` code points, or holds a null byte.
    """
    # Nearly every text begins with a letter or digit.
    if not (text[:1].isalnum() and text[0] not in _BLANK) and not _is_visible(text):
        raise InvalidReviewError("no_text", "text: empty or blank; a review needs words")
    if len(text) > max_text_chars:
        raise InvalidReviewError(
            "text_too_long",
            f"text: {len(text)} characters, over the limit of {max_text_chars} (WORKER_MAX_TEXT_CHARS)",
        )
    if "\0" in text:
        raise InvalidReviewError("null_byte", "text: contains a null byte; remove it")


def _is_visible(text: str) -> bool:
    return any(char not in _BLANK and unicodedata.category(char) not in {"Cc", "Cf", "Zs", "Zl", "Zp"} for char in text)
