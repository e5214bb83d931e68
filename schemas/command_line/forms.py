"""What a setting takes, in words for people: in the help, and in the line that refuses a value.

Owns those words. The settings' own declarations (pydantic fields) are the source, so help and refusal cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from schemas.command_line.spelling import did_you_mean
from schemas.command_line.units import show_bytes, show_seconds

_WORDS: Final = {int: "N", float: "X", Path: "FILE", SecretStr: "SECRET"}
# Faults that `takes` answers in full; pydantic's own words stay for the others.
_TAKES: Final = ("_parsing", "_type", "greater_than", "less_than", "literal_error", "int_from_float", "finite_number")


def kind_of(field: FieldInfo) -> Any:
    """Return what a field holds, without None and without what annotates it."""
    return next(kind for kind in _kinds(field.annotation) if kind is not NoneType)


def choices_of(field: FieldInfo) -> list[str]:
    """Return the words that a field takes; empty when it takes more than words of a list."""
    kind = kind_of(field)
    return [str(word) for word in get_args(kind)] if get_origin(kind) is Literal else []


def is_list(field: FieldInfo) -> bool:
    """Return whether a field takes several values."""
    return get_origin(kind_of(field)) is list


def metavar_of(name: str, field: FieldInfo) -> str:
    """Return what a setting takes, in a word."""
    if choices := choices_of(field):
        return "|".join(choices)
    kind = kind_of(field)
    if is_list(field):
        of = get_args(kind)[0]
        return _WORDS.get(of, "A,B,...") if of in {Path, int} else "A,B,..."
    if name.endswith("_s"):
        return "DURATION"
    return "SIZE" if name.endswith("_bytes") else _WORDS.get(kind, "TEXT")


def takes(name: str, field: FieldInfo) -> str:
    """Return what a setting takes, with its limits: `a whole number from 1 to 64`."""
    if choices := choices_of(field):
        return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]
    kind = kind_of(field)
    if is_list(field):
        kind = get_args(kind)[0]
    if kind is bool:
        return "true or false"
    limits = _limits(name, field)
    if name.endswith("_s"):
        return f"a duration{limits}, such as 500ms, 30s, 5m, 2h or 30d (a plain number is seconds)"
    if name.endswith("_bytes"):
        return f"a size{limits}, such as 500kB or 10MB (a plain number is bytes)"
    return {int: f"a whole number{limits}", float: f"a number{limits}"}.get(kind, "text")


def default_of(name: str, field: FieldInfo) -> str:
    """Return a field's default as people write it; empty when there is none."""
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined or default in ("", []):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, list):
        return ",".join(map(str, default))
    return _shown(name, default)


def fault_lines(
    error: ValidationError, model: type[BaseModel], called: Callable[[str], str], typed: Mapping[str, object]
) -> list[str]:
    """Return one line for each wrong setting: its name, what came, and what it takes.

    Args:
        error: what pydantic found.
        model: whose fields it found it in.
        called: how a setting is called where it was set: its variable or its flag.
        typed: what flags gave. Only this is quoted, and no secret: a variable's value may be a password in a wrong
            place, and the line is logged.
    """
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        name = next((str(part) for part in detail["loc"]), "")
        field = model.model_fields.get(name)
        if field is None:  # several settings that do not agree: the message names them
            lines.setdefault(detail["msg"], detail["msg"].removeprefix("Value error, "))
            continue
        said = _said(name, field, detail)
        quoted = name in typed and said.startswith("takes ") and kind_of(field) is not SecretStr
        came = f" {_short(typed[name])}" if quoted else ""
        lines.setdefault(name, f"{called(name)}{came}: {said}")
    return [" ".join(line.split()) for line in lines.values()]


def _said(name: str, field: FieldInfo, detail: ErrorDetails) -> str:
    if detail["type"] in {"missing", "too_short"}:
        return f"is missing; it takes {takes(name, field)}"
    if any(word in detail["type"] for word in _TAKES) and detail["type"] != "string_type":
        near = did_you_mean(str(detail["input"]), choices_of(field)) if choices_of(field) else ""
        return f"takes {takes(name, field)}{near}"
    return detail["msg"].removeprefix("Value error, ")


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _limits(name: str, field: FieldInfo) -> str:
    """Return ` from 1 to 64`, as far as a field has limits."""
    low: Any = next((limit for limit in field.metadata if isinstance(limit, (Ge, Gt))), None)
    high: Any = next((limit for limit in field.metadata if isinstance(limit, (Le, Lt))), None)
    words = []
    if isinstance(low, Ge):
        words.append(f" from {_shown(name, low.ge)}" if high else f" of {_shown(name, low.ge)} or more")
    elif isinstance(low, Gt):
        words.append(f" over {_shown(name, low.gt)}")
    if isinstance(high, Le):
        words.append(f" {'up ' if not isinstance(low, Ge) else ''}to {_shown(name, high.le)}")
    elif isinstance(high, Lt):
        words.append(f"{' and' if low else ''} under {_shown(name, high.lt)}")
    return "".join(words)


def _shown(name: str, value: Any) -> str:
    if name.endswith("_s"):
        return show_seconds(value)
    if name.endswith("_bytes"):
        return show_bytes(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kinds(annotation: Any) -> Sequence[Any]:
    """Return the members of a union, without what annotates them."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return [kind for member in get_args(annotation) for kind in _kinds(member)]
    if get_origin(annotation) is list:
        (item,) = get_args(annotation)
        return [list[_kinds(item)[0]]]  # type: ignore[misc]
    return [annotation]
