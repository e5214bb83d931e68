"""The output contract: what the topic `ratings` and the Redis hash `rating:{<review id>}` hold.

Owns the fields and the key names. Never writes anywhere; `worker.kafka` and `worker.redis` do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import is_
from typing import Annotated, Any, Final, get_type_hints

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema

from schemas.prediction import Prediction

CONTENT_TYPE = b"application/json"
_NOTHING_KNOWN: Final = (None, None, None, None, None, None)
_IS_NONE: Final = partial(is_, None)
# A time that is a number counts seconds, below the year 5138, else milliseconds, microseconds or nanoseconds.
_EPOCH_DIGITS: Final = frozenset({10, 13, 16, 19})
_SECONDS_END: Final = 1e11
_TIME_UNITS: Final = (1, 1e3, 1e6, 1e9)


@dataclass(slots=True)
class SourcePosition:
    """Where the review was read: the position that fences the rating's write.

    The topic's tombstones have no value; they carry it as JSON in the header `starstream-source`.
    """

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    timestamp_ms: Annotated[int | None, Field(description="The record's time; null in older ratings.")] = None

    def to_json(self) -> bytes:
        """Return the value of the header of a tombstone."""
        return POSITION.serializer.to_json(self)


@dataclass(slots=True, kw_only=True)
class _BareRating(Prediction):
    """What every rating has."""

    review_id: Annotated[str, Field(min_length=1, description="Key of the record and of the Redis hash.")]
    app_id: Annotated[str | None, Field(description="What was reviewed, when the review said so.")] = None
    rated_at: Annotated[str, Field(description="UTC, ISO 8601 with milliseconds.")]
    source: SourcePosition

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Put the review's names first, as the topic always had them; dataclasses begin with what is inherited."""
        schema = handler(source)
        declared: Any = handler.resolve_ref_schema(schema)
        declared["schema"]["fields"].sort(key=lambda field: _place(field["name"]))
        declared["fields"] = [field["name"] for field in declared["schema"]["fields"]]
        return schema


@dataclass(slots=True, kw_only=True)
class Rating(_BareRating):
    """One review's stars or labels, as the output topic carries them."""

    # Left out where they are not known, so that a rating of a bare text is as large as ever.
    created_at: Annotated[
        str | None, Field(exclude_if=_IS_NONE, description="When the review was written, as its producer said.")
    ] = None
    app_version: Annotated[
        str | None, Field(exclude_if=_IS_NONE, description="The version of what was reviewed, when the review said so.")
    ] = None
    author_score: Annotated[
        float | None, Field(exclude_if=_IS_NONE, description="The author's own stars, which the model never saw.")
    ] = None

    def to_json(self) -> bytes:
        """Return the record value of the output topic: compact JSON in UTF-8."""
        known = (self.created_at, self.app_version, self.author_score, self.mismatch, self.reasons, self.labels)
        if known == _NOTHING_KNOWN:
            return _BARE.serializer.to_json(self)  # the same bytes, without a call for each field that is left out
        return RATING.serializer.to_json(self)

    @staticmethod
    def from_json(value: bytes) -> Rating:
        """Read a record value of the output topic.

        Raises:
            pydantic.ValidationError: it is not JSON, or a field is missing, malformed or out of range.
        """
        return RATING.validate_json(value)


def time_text(value: str | float) -> str:
    """Return a review's time as the rating has it: text as it was sent, a number in ISO 8601.

    A table has numbers as text: ten digits are seconds since 1970, 13, 16 and 19 the smaller units.
    """
    if isinstance(value, str):
        if not (len(value) in _EPOCH_DIGITS and value.isascii() and value.isdigit()):
            return value
        value = int(value)
    try:
        unit = next(unit for unit in _TIME_UNITS if abs(value) < _SECONDS_END * unit)
        time = datetime.fromtimestamp(value / unit, UTC)
    except (StopIteration, ValueError, OverflowError, OSError):  # no calendar has it
        return str(value)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _place(name: str) -> int:
    """Return where a field is: the review's names, then what every rating has, then what later releases added."""
    return {"review_id": 0, "app_id": 0, "mismatch": 2, "reasons": 2, "unknown_share": 3, "labels": 4}.get(name, 1)


RATING: Final = TypeAdapter(Rating)
_BARE: Final = TypeAdapter(_BareRating)
POSITION: Final = TypeAdapter(SourcePosition)
SOURCE_HEADER: Final = "starstream-source"
LABELS: Final = "labels"  # instead of stars, where ratings are counted by stars and a label model gave none


_TYPES: Final = get_type_hints(Rating)
_DECLARED: Final = get_type_hints(Rating, include_extras=True)
# What the Redis hash can have; `rating_hash` says in which forms.
HASH_FIELDS: Final = tuple(name for name in sorted(_TYPES, key=_place) if name != "source")
# These are left out where they are not known.
WHERE_KNOWN: Final = tuple(
    name
    for name in HASH_FIELDS
    if any(getattr(part, "exclude_if", None) for part in getattr(_DECLARED[name], "__metadata__", ()))
)


def rating_key(review_id: str, *, prefix: str = "") -> str:
    """Return the Redis key of a rating; the braces make the id the cluster's hash tag."""
    return f"{prefix}rating:{{{review_id}}}"


def summary_key(app_id: str, *, prefix: str = "") -> str:
    """Return the Redis key of an app's running summary."""
    return f"{prefix}summary:{{{app_id}}}"
