"""The rating as the Redis hash `rating:{<review id>}` holds it: two forms are read, and either can be written.

Form 1 has every field of the rating and a `source_...` for each part of its position. Form 2 leaves out the review's
id, which is in the key, and what a rating has by default; its position is the one field `source`. Owns the two forms.
Never writes anywhere; `worker.redis` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from schemas.rating import HASH_FIELDS, RATING, WHERE_KNOWN, Rating, SourcePosition

Form = Literal[1, 2]
Text = str | bytes | int | float  # numbers are written as Python's `repr` has them, as JSON does

ABSENT: Final = "\0"  # instead of a value: the hash lacks the field; no text of a rating holds this character
SOURCE: Final = "source"  # the packed field of form 2
ID_CHARS: Final = 8  # of a topic's id: 48 random bits tell a topic from the one that had its name before
# `topic:topic id:partition:offset:time ms:counted`; no part has a colon. `counted` says what the rating is counted in
# (`worker/redis/write.lua`). A topic that makes it longer than 64 bytes is empty here, and in `source_topic`.
_PACKED: Final = re.compile(r"([^:]*):([^:]*):(\d{1,10}):(\d{1,19}):(-?\d{1,19}):([^:]*)")
_PARTS: Final = ("source_topic", "source_topic_id", "source_partition", "source_offset", "source_timestamp_ms")
POSITION_FIELDS: Final = (SOURCE, *_PARTS)  # what `position_from_hash` reads


class StoredPosition(NamedTuple):
    """Where the review of a stored rating was read.

    `topic_id` is the beginning of the topic's id, empty when the brokers have none.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int | None


_TYPES: Final = get_type_hints(Rating)
_LISTS: Final = frozenset(
    name for name in HASH_FIELDS if any(get_origin(kind) is list for kind in (_TYPES[name], *get_args(_TYPES[name])))
)
_NUMBERS: Final = frozenset(name for name in _LISTS if _TYPES[name] == list[float])
_NULLABLE: Final = frozenset(name for name in HASH_FIELDS if type(None) in get_args(_TYPES[name]))
_FLOATS: Final = frozenset(name for name in HASH_FIELDS if float in (_TYPES[name], *get_args(_TYPES[name])))
_PLAIN: Final = frozenset(name for name in HASH_FIELDS if {_TYPES[name], *get_args(_TYPES[name])} & {str, int, float})


def _defaults() -> dict[str, Any]:
    found = {field.name: field.default for field in fields(Rating) if field.default is not MISSING}
    for name, declared in get_type_hints(Rating, include_extras=True).items():
        for part in getattr(declared, "__metadata__", ()):
            if getattr(part, "default", PydanticUndefined) is not PydanticUndefined:
                found[name] = part.default
    return found


_DEFAULTS: Final = _defaults()
_values_of: Final = attrgetter(*HASH_FIELDS)
_encode: Final = msgspec.json.Encoder().encode
LABELS: Final = TypeAdapter(dict[str, float])  # of the field `labels`, which is JSON


def id_of_key(key: str, *, prefix: str = "") -> str:
    """Return the review's id of a rating's key."""
    return key.removeprefix(prefix).removeprefix("rating:{").removesuffix("}")


def hash_columns(ratings: Sequence[Rating], form: Form) -> Iterator[tuple[str, Sequence[Text]]]:
    """Yield each field's name and its value in each rating, `ABSENT` where the hash lacks the field; without positions.

    A column at a time, because nearly all of a worker's ratings have nothing in half of the fields.
    """
    for name, column in zip(HASH_FIELDS, zip(*map(_values_of, ratings), strict=True), strict=True):
        if form == 2 and name == "review_id":
            continue
        absent = _absent(name, form)
        missing = 0 if absent is MISSING else column.count(absent)
        if missing == len(column):
            yield name, [ABSENT] * missing
            continue
        texts = _texts(name, column)
        if missing:
            texts = [ABSENT if value == absent else text for value, text in zip(column, texts, strict=True)]
        yield name, texts


def _texts(name: str, column: Sequence[Any]) -> Sequence[Text]:
    """Return the values of a field, made by as few calls as there can be."""
    if name in _NUMBERS:
        return _encode(column)[2:-2].split(b"],[")  # as in the rating's JSON
    if name not in _PLAIN or None in column:
        return [_text(value) for value in column]
    return _float_texts(column) if name in _FLOATS else column


def _absent(name: str, form: Form) -> Any:
    """Return the value of a field that is left out, MISSING when it never is."""
    if form == 2:
        return _DEFAULTS.get(name, MISSING)
    return None if name in WHERE_KNOWN else MISSING


def _text(value: Any) -> Text:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text: Text = value
    return text


def _float_texts(column: Sequence[float]) -> Sequence[Text]:
    """Return numbers as Python writes them: by one call where that writes the same, because the client takes longer."""
    text = _encode(column)
    # Small numbers and exponents differ, and what is no number is null.
    differs = b"0.0000" in text or b"e" in text or b"n" in text
    return column if differs else text[1:-1].split(b",")


def position_from_hash(texts: Mapping[str, str]) -> StoredPosition | None:
    """Read the position of a rating or of a deletion's marker, in either form; None when there is none.

    A hash with both has been written in form 1 last: form 2 replaces the whole hash, form 1 of older releases does not.
    """
    if "source_offset" in texts:
        parts = [texts.get(name, "") for name in _PARTS]
    elif found := _PACKED.fullmatch(texts.get(SOURCE, "")):
        parts = list(found.groups())
    else:
        return None
    topic, topic_id, *numbers = parts[:5]
    topic = topic or texts.get("source_topic", "")
    try:
        partition, offset, timestamp = (int(number) if number else None for number in numbers)
    except ValueError:
        return None
    if partition is None or offset is None:
        return None
    return StoredPosition(topic, topic_id[:ID_CHARS], partition, offset, timestamp)


def rating_from_hash(texts: Mapping[str, str], review_id: str) -> Rating:
    """Read a rating back from its hash, in either form, of this release or an older one.

    Args:
        texts: the fields of the hash.
        review_id: what the hash was found under.

    Raises:
        pydantic.ValidationError: a field is missing or malformed.
    """
    found: dict[str, Any] = {"review_id": review_id, **{name: texts[name] for name in HASH_FIELDS if name in texts}}
    for name in found.keys() & _LISTS:
        found[name] = found[name].split(",") if found[name] else []
    for name in found.keys() & _NULLABLE:
        found[name] = found[name] or None
    if found.get("labels") is not None:
        found["labels"] = LABELS.validate_json(found["labels"])
    at = position_from_hash(texts)
    found["source"] = None if at is None else SourcePosition(at.topic, at.partition, at.offset, at.timestamp_ms)
    return RATING.validate_python(found)
