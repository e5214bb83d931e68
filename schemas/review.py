"""The input contract: the value of a record of the topic `reviews` is a Review, or is refused with a reason.

Owns which values are reviews, and what a review is known by. Never knows a Kafka client: `worker.stream.parse` and
`trainer.collect` pass in a record's parts.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.dead_letter import RejectReason

MAX_ID_BYTES = 256
DEFAULT_MAX_TEXT_CHARS = 20_000

InputFormat = Literal["auto", "json", "text"]
Identifier = Annotated[str, Field(min_length=1)]


class InvalidReviewError(ValueError):
    """A value that is not a review. `reason` is one of a few labels; the message names the field and the limit."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Review(BaseModel):
    """A review as its producer sent it. Unknown fields are ignored; wrong types are refused, never coerced."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True, title="Review")

    text: Annotated[
        str,
        Field(validation_alias=AliasChoices("text", "content"), description="What was written."),
    ]
    review_id: Annotated[
        Identifier | None,
        Field(
            validation_alias=AliasChoices("review_id", "reviewId"),
            description=f"Identity, at most {MAX_ID_BYTES} bytes of UTF-8; else the record key is.",
        ),
    ] = None
    app_id: Annotated[
        Identifier | None,
        Field(validation_alias=AliasChoices("app_id", "appId"), description="What was reviewed."),
    ] = None
    created_at: Annotated[
        str | int | float | None,
        Field(validation_alias=AliasChoices("created_at", "at"), description="When it was written, as sent."),
    ] = None
    score: Annotated[
        int | float | None,
        Field(description="The author's own stars: feedback, never an input to the model."),
    ] = None


_REVIEW: Final = TypeAdapter(Review).validator


def parse_review(
    value: bytes, *, input_format: InputFormat = "auto", max_text_chars: int = DEFAULT_MAX_TEXT_CHARS
) -> Review:
    """Read a record's value as a review.

    With `auto`, a value whose first non-blank character is `{` must be a JSON object; anything else that is
    UTF-8 is the text itself, so that `echo "great app" | kcat -P -t reviews` works.

    Args:
        value: the record's value, never a tombstone.
        input_format: `auto`, or `json` / `text` to allow one form only.
        max_text_chars: longest text allowed, in Unicode code points.

    Raises:
        InvalidReviewError: with the reason and the field at fault; the message never holds the review's text.
    """
    try:
        decoded = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidReviewError("not_utf8", f"value: not UTF-8 at byte {error.start}; send UTF-8") from error
    if input_format == "json" or (input_format == "auto" and decoded.lstrip()[:1] == "{"):
        review = _from_json(value)
    else:
        review = Review.model_construct(text=decoded)
    check_review(review, max_text_chars)
    return review


def review_id_of(review: Review, key: bytes | None, topic: str, partition: int, offset: int) -> str:
    """Return what a review is known by: its `review_id`, else the record's key, else `<topic>-<partition>-<offset>`.

    Raises:
        InvalidReviewError: the key is needed, and is not an identifier.
    """
    if review.review_id is not None:
        return review.review_id
    return _key_text(key) if key else f"{topic}-{partition}-{offset}"


def deleted_id(key: bytes | None) -> str:
    """Return the id of the review that a tombstone deletes: its key.

    Raises:
        InvalidReviewError: there is no key, or it is not an identifier.
    """
    if not key:
        raise InvalidReviewError("no_identity", "key: a null value deletes the review its key names; there is no key")
    return _key_text(key)


def _key_text(key: bytes) -> str:
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidReviewError("bad_identifier", f"key: not UTF-8 at byte {error.start}") from error
    check_identifier("key", text)
    return text


def check_identifier(name: str, value: str) -> None:
    """Refuse an identifier that is too long for a key or holds a null byte.

    Raises:
        InvalidReviewError: with reason `bad_identifier`.
    """
    if "\0" in value:
        raise InvalidReviewError("bad_identifier", f"{name}: contains a null byte; remove it")
    # A code point is at most four bytes, so short identifiers need no encoding to be known to fit.
    if len(value) * 4 > MAX_ID_BYTES and len(value.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise InvalidReviewError("bad_identifier", f"{name}: longer than {MAX_ID_BYTES} bytes of UTF-8")


def _from_json(value: bytes) -> Review:
    try:
        review: Review = _REVIEW.validate_json(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "value"
        if first["type"] == "json_invalid":
            reason: RejectReason = "not_json"
        elif first["type"] == "missing":
            reason = "no_text"
        elif first["type"] == "string_too_short":
            reason = "bad_identifier"
        else:
            reason = "wrong_type"
        raise InvalidReviewError(reason, f"{field}: {first['msg']}") from None  # the cause quotes the text
    return review


def check_review(review: Review, max_text_chars: int = DEFAULT_MAX_TEXT_CHARS) -> None:
    """Refuse what the types allow: a blank or too long text, null bytes, identifiers too long for a key.

    Raises:
        InvalidReviewError: with the reason and the field at fault.
    """
    check_text(review.text, max_text_chars)
    if review.review_id is not None:
        check_identifier("review_id", review.review_id)
    if review.app_id is not None:
        check_identifier("app_id", review.app_id)


def check_text(text: str, max_text_chars: int = DEFAULT_MAX_TEXT_CHARS) -> None:
    """Refuse a text that cannot be rated.

    Raises:
        InvalidReviewError: it is blank, longer than `max_text_chars` code points, or holds a null byte.
    """
    if not text.strip():
        raise InvalidReviewError("no_text", "text: empty or blank; a review needs words")
    if len(text) > max_text_chars:
        raise InvalidReviewError(
            "text_too_long",
            f"text: {len(text)} characters, over the limit of {max_text_chars} (WORKER_MAX_TEXT_CHARS)",
        )
    if "\0" in text:
        raise InvalidReviewError("null_byte", "text: contains a null byte; remove it")
