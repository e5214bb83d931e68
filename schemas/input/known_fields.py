"""Reads JSON objects whose field names a feed has shown before, faster than those of any names.

Owns a struct of those names, whose fields msgspec fills without a dictionary. It answers only where it is sure to give
what `fields` and pydantic's parser give; for everything else the caller asks those, and shows the object that they
found here, so that the next like it is known. A new name of the feed is learned that way, up to a bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.input.fields import FieldFinder

_MOST_NAMES: Final = 64
_MOST_LESSONS: Final = 64
# What it raises for anything but an object of these names and types; UnicodeDecodeError is a ValueError, too.
_REFUSALS: Final = (msgspec.DecodeError, ValueError, RecursionError)
# What a part may be without a conversion: text, id, app, score, time, version.
_TYPES: Final = (str | None, str | None, str | None, int | float | None, str | int | float | None, str | None)
_PLAIN_NAME: Final = re.compile(r"[\w$@.:-]{1,80}").fullmatch  # msgspec takes no name with quotes or control characters
_NOTHING: Final = "nothing"  # an attribute that is always None

Parts = tuple[Any, ...]  # text, id, app, score, time, version


class KnownFields:
    """Reads objects whose names it knows.

    Args:
        finder: says which names hold which part of a review.
    """

    def __init__(self, finder: FieldFinder) -> None:
        self._finder = finder
        self._names: dict[str, None] = {}
        self._lessons = 0
        self._read: Callable[[bytes], Any] | None = None
        self._parts: Callable[[Any], Parts] = tuple

    def parts(self, value: bytes) -> Parts | None:
        """Return the values of text, id, app, score, time and version; None when the usual way has to find them."""
        if self._read is None:
            return None
        try:
            return self._parts(self._read(value))
        except _REFUSALS:
            return None

    def learn(self, found: Mapping[str, Any]) -> None:
        """Know the names of an object, which holds a review, from now on."""
        new = [name for name in found if name not in self._names]
        if not new or self._lessons >= _MOST_LESSONS or len(self._names) + len(new) > _MOST_NAMES:
            return
        if not all(map(_PLAIN_NAME, new)):
            return
        self._lessons += 1
        names = dict.fromkeys([*self._names, *new])
        # Two names that differ in case only: which of them counts depends on what else an object has.
        if len({name.strip().casefold() for name in names}) < len(names):
            return
        routes = self._finder.names_in(names)
        if routes is None:
            return
        self._names = names
        attributes = {name: f"f{number}" for number, name in enumerate(names)}
        types: dict[str, Any] = {
            attributes[name]: kind for choices, kind in zip(routes, _TYPES, strict=True) for name in choices
        }
        struct = msgspec.defstruct(
            "Known",
            [(attribute, types.get(attribute, Any), None) for attribute in attributes.values()],
            rename={attribute: name for name, attribute in attributes.items()},
            forbid_unknown_fields=True,
            namespace={_NOTHING: None},
            gc=False,
        )
        self._read = msgspec.json.Decoder(struct).decode
        chosen = [[attributes[name] for name in choices] for choices in routes]
        self._parts = _one_each(chosen) if all(len(choices) < 2 for choices in chosen) else _first_of(chosen)


def _one_each(chosen: list[list[str]]) -> Callable[[Any], Parts]:
    return attrgetter(*(names[0] if names else _NOTHING for names in chosen))


def _first_of(chosen: list[list[str]]) -> Callable[[Any], Parts]:
    def first(read: Any, names: list[str]) -> Any:
        """As `fields`: null and empty strings are passed over, and "" is returned when there is no more."""
        empty = None
        for name in names:
            value = getattr(read, name)
            if value is not None:
                if value != "":
                    return value
                empty = value
        return empty

    return lambda read: tuple([first(read, names) for names in chosen])
