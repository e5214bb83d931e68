"""The rating as an Avro schema, derived from its declaration, so that a field is declared once.

Owns how Python's types become Avro's. `worker.kafka.registry` registers it, with either of the two kinds of schema that
Kafka Connect's sinks read, and `python -m schemas export` writes it.
"""

from __future__ import annotations

import json
from dataclasses import Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from schemas.rating import HASH_FIELDS, RATING, Rating

NAMESPACE: Final = "starstream"
_PLAIN: Final = {str: "string", int: "long", float: "double", bool: "boolean"}


def avro_schema() -> dict[str, Any]:
    """Return the Avro schema of a rating, in the order of the topic's JSON; what may be unknown is null by default."""
    names = [*HASH_FIELDS]
    names.insert(names.index("rated_at") + 1, "source")
    return _record(Rating, names)


def avro_text() -> str:
    """Return it as text, as it is registered."""
    return json.dumps(avro_schema())


def json_text() -> str:
    """Return the JSON Schema of a rating as text, as it is registered."""
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **_draft_7(RATING.json_schema())})


def _draft_7(schema: dict[str, Any]) -> Any:
    text = json.dumps(schema).replace('"#/$defs/', '"#/definitions/').replace('"$defs":', '"definitions":')
    return json.loads(text)


def _record(kind: Any, names: list[str]) -> dict[str, Any]:
    types = get_type_hints(kind, include_extras=True)
    declared = {field.name: field for field in fields(kind)}
    return {
        "type": "record",
        "name": kind.__name__,
        "namespace": NAMESPACE,
        "doc": (kind.__doc__ or "").partition("\n")[0],
        "fields": [_field(declared[name], types[name]) for name in names],
    }


def _field(field: Field[Any], kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": field.name, "type": _type(kind)}
    about = [part.description for part in getattr(kind, "__metadata__", ()) if getattr(part, "description", None)]
    if about:
        found["doc"] = about[0]
    if field.default is None:
        found["default"] = None
    elif isinstance(field.default, bool | int | float | str):
        found["default"] = field.default
    return found


def _type(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in {Union, UnionType}:
        (other,) = [part for part in get_args(kind) if part is not NoneType]
        return ["null", _type(other)]
    if get_origin(kind) is dict:
        return {"type": "map", "values": _type(get_args(kind)[1])}
    if get_origin(kind) is list:
        return {"type": "array", "items": _type(get_args(kind)[0])}
    if is_dataclass(kind):
        return _record(kind, [field.name for field in fields(kind)])
    return _PLAIN[kind]
