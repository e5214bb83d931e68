"""Ratings as the worker's loop makes them: structs with the fields of `schemas.rating.Rating`, written by msgspec.

Owns the fast way to the same bytes. Declares no field: the structs are made from the declaration in `schemas.rating`,
so the two cannot drift. Readers, other forms and the JSON Schemas use the declaration itself.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.rating import HASH_FIELDS, WHERE_KNOWN, Rating, SourcePosition

_EXPONENT: Final = 1e16  # from here on msgspec writes 1e16, and pydantic 1e+16


def _struct_of(declared: type, names: tuple[str, ...]) -> Any:
    """Return a struct with the fields of a dataclass, in the order of `names`."""
    by_name = {field.name: field for field in fields(declared)}
    members = [_member(by_name[name]) for name in names]
    return msgspec.defstruct(declared.__name__, members, kw_only=True, omit_defaults=True, gc=False, module=__name__)


def _member(field: Field[Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
    if field.name in WHERE_KNOWN:
        return field.name, Any, None
    if field.default is not MISSING:
        return field.name, Any, msgspec.field(default_factory=lambda: field.default)  # which is written, too
    return field.name, Any


_ORDER: Final = (
    *(name for name in HASH_FIELDS if name not in WHERE_KNOWN),
    "source",
    *WHERE_KNOWN,
)
_SOURCE_ORDER: Final = tuple(field.name for field in fields(SourcePosition))
if TYPE_CHECKING:  # the same attributes, made in the same way
    RatingRecord = Rating
    SourceRecord = SourcePosition
else:
    RatingRecord = _struct_of(Rating, _ORDER)
    SourceRecord = _struct_of(SourcePosition, _SOURCE_ORDER)
_encode: Final = msgspec.json.Encoder().encode


def value_of(made: RatingRecord) -> bytes:
    """Return the record value of the output topic, as `Rating.to_json` does.

    Raises:
        ValueError: a text cannot be written in UTF-8.
    """
    score = made.author_score
    try:
        if score is None or -_EXPONENT < score < _EXPONENT:
            return _encode(made)
    except (TypeError, ValueError, OverflowError):  # what it refuses, pydantic may take
        pass
    return rating_of(made).to_json()


def rating_of(made: RatingRecord) -> Rating:
    """Return the rating itself, for whoever writes another form than the topic's JSON."""
    source = SourcePosition(**{name: getattr(made.source, name) for name in _SOURCE_ORDER})
    return Rating(**{**{name: getattr(made, name) for name in _ORDER}, "source": source})
