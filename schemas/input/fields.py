"""Where the parts of a review are in other people's messages and files.

Owns the names that are known, and the search: dotted paths, alternatives, joined fields, any letter case. The same
rules serve Kafka, `predict`, `train` and `collect`. `schemas.review` decides what may be made of what is found here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator

FieldName = Literal["text", "id", "app", "score", "time", "version"]
FIELD_NAMES: Final[tuple[FieldName, ...]] = get_args(FieldName)

FieldPath = Annotated[str | None, AfterValidator(lambda paths: paths if parse_paths(paths or "-") else None)]

_MOST_SHAPES: Final = 256
_MOST_NAMES: Final = 12
_NAME: Final = re.compile(r"(?=.{1,60}$)[\w$@.-]+( [\w$@.-]+){0,5}")


def parse_paths(paths: str) -> tuple[tuple[str, ...], ...]:
    """Return the alternatives of a setting, each the paths that are joined.

    Raises:
        ValueError: one is empty.
    """
    found = tuple(tuple(part.strip() for part in joined.split("+")) for joined in paths.split(","))
    for part in (part for joined in found for part in joined):
        if not part or "" in part.split("."):
            raise ValueError(f"{paths!r}: a path is empty; expected names such as body, attributes.body or title+body")
    return found


@dataclass(frozen=True, slots=True)
class FieldPaths:
    """Where each part of a review is.

    A path names a field, with dots for fields inside fields (`attributes.body`). Several paths are separated by
    commas, and the first that leads to a value counts. `title+body` joins the values of two paths with a line break.
    A name is found in any letter case, but an exact match comes first; a name that holds the dot itself comes before
    one inside another field, and one that is all of a setting (the column `Comment, if any`) before its parts.

    Raises:
        ValueError: a path is empty.
    """

    text: str = "text, content, review, body"  # what was written
    id: str = "review_id, reviewId"  # what the review is known by
    app: str = "app_id, appId"  # what was reviewed
    score: str = "score, rating, stars, label"  # the author's own stars
    time: str = "created_at, at"  # when it was written
    version: str = "app_version, appVersion, reviewCreatedVersion"  # the version of what was reviewed

    def __post_init__(self) -> None:
        for field in fields(self):
            parse_paths(getattr(self, field.name))

    def under(self, *parents: str) -> FieldPaths:
        """Return the same paths inside other fields, an earlier parent's before a later one's; "" is the top level."""

        def moved(paths: str, parent: str) -> str:
            return ", ".join("+".join(f"{parent}.{part}" for part in joined) for joined in parse_paths(paths))

        return FieldPaths(
            *(
                ", ".join(
                    moved(getattr(self, field.name), parent) if parent else getattr(self, field.name)
                    for parent in parents
                )
                for field in fields(self)
            )
        )


DEFAULT_PATHS: Final = FieldPaths()

_Route = tuple[str, ...]  # the keys to follow; one that is absent is looked for in any letter case
_Alternatives = tuple[tuple[_Route, ...], ...]  # each the routes to what is joined


class FieldFinder:
    """Finds the fields of `paths` in objects and rows.

    Where an object's fields are is found once for each set of names, so that a feed whose objects are alike costs one
    look-up a field.
    """

    def __init__(self, paths: FieldPaths = DEFAULT_PATHS) -> None:
        self.paths = paths
        self._whole = [getattr(paths, field.name) for field in fields(paths)]
        self._wanted = tuple(parse_paths(whole) for whole in self._whole)
        self._nothing = [None] * len(self._wanted)
        self._plans: dict[tuple[str, ...], tuple[list[tuple[int, str]], list[tuple[int, _Alternatives]]]] = {}

    def find(self, found: Mapping[str, Any]) -> list[Any]:
        """Return the values of text, id, app, score, time and version, in this order; None for what is not there.

        A path that leads to null or an empty string is passed over; "" is returned when no path leads to more.
        """
        names = tuple(found)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._plan(found)
            if len(self._plans) < _MOST_SHAPES:
                self._plans[names] = plan
        values: list[Any] = self._nothing.copy()
        single, others = plan
        for place, name in single:
            values[place] = found[name]
        for place, alternatives in others:
            values[place] = _first(found, alternatives)
        return values

    def finds(self, name: FieldName, columns: Sequence[str]) -> bool:
        """Tell whether rows with these columns can have this field."""
        single, others = self._plan(dict.fromkeys(columns))
        return FIELD_NAMES.index(name) in [place for place, _ in (*single, *others)]

    def names_in(self, columns: Collection[str]) -> list[list[str]] | None:
        """Return the columns that may hold each part, in the order they are tried; None when a path is no mere name."""
        if any(len(joined) > 1 or "." in joined[0] for alternatives in self._wanted for joined in alternatives):
            return None
        if any(whole in columns for whole in self._whole if "," in whole):
            return None
        folded = {name.strip().casefold(): name for name in columns}
        return [
            [folded[joined[0].casefold()] for joined in alternatives if joined[0].casefold() in folded]
            for alternatives in self._wanted
        ]

    def _plan(self, found: Mapping[str, Any]) -> tuple[list[tuple[int, str]], list[tuple[int, _Alternatives]]]:
        folded = {name.strip().casefold(): name for name in reversed(list(found))}

        def route(path: str) -> _Route | None:
            for name in (path, folded.get(path.casefold())):
                if name is not None and name in found:
                    return (name,)
            first, _, rest = path.partition(".")
            parent = first if first in found else folded.get(first.casefold())
            return (parent, *rest.split(".")) if rest and parent is not None else None

        single: list[tuple[int, str]] = []
        others: list[tuple[int, _Alternatives]] = []
        for place, alternatives in enumerate(self._wanted):
            if self._whole[place] in found:
                single.append((place, self._whole[place]))
                continue
            known = [[step for part in joined if (step := route(part)) is not None] for joined in alternatives]
            routes = tuple(tuple(joined) for joined in known if joined)
            if len(routes) == 1 and len(routes[0]) == 1 and len(routes[0][0]) == 1:
                single.append((place, routes[0][0][0]))
            elif routes:
                others.append((place, routes))
        return single, others


def _first(found: Mapping[str, Any], alternatives: _Alternatives) -> Any:
    empty = None
    for routes in alternatives:
        value = _follow(found, routes[0]) if len(routes) == 1 else _joined(found, routes)
        if value is not None and value != "":
            return value
        empty = empty if value is None else value
    return empty


def _joined(found: Mapping[str, Any], routes: tuple[_Route, ...]) -> Any:
    parts = [part for route in routes if (part := _follow(found, route)) is not None]
    wrong = next((part for part in parts if not isinstance(part, str)), None)
    if not parts or wrong is not None:
        return wrong
    return "\n".join(part for part in parts if part.strip())


def _follow(found: Any, route: _Route) -> Any:
    for step in route:
        if not isinstance(found, Mapping):
            return None
        if step in found:
            found = found[step]
        else:
            folded = step.casefold()
            found = next((value for name, value in found.items() if name.casefold() == folded), None)
    return found


def describe_names(found: Mapping[str, Any]) -> str:
    """Return the names of an object's fields, those inside fields with dots, cut to a line; never a value."""
    names = [_shown(name) for name in _paths_in(found)]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more if names else "none, the object is empty"


def likely_text(found: Mapping[str, Any]) -> str | None:
    """Return the path of the longest string of two words or more, for a hint; None when there is none."""
    texts = {path: value for path, value in _paths_in(found).items() if isinstance(value, str) and " " in value.strip()}
    longest = max(texts, key=lambda path: len(texts[path]), default=None)
    return longest if longest is not None and _shown(longest) == longest and "," not in longest else None


def _paths_in(found: Mapping[str, Any], parent: str = "", depth: int = 3) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping) and value and depth > 1:
            paths |= _paths_in(value, f"{parent}{name}.", depth - 1)
        else:
            paths[f"{parent}{name}"] = value
    return paths


def _shown(name: str) -> str:
    """Return a name that can be printed: what does not look like a name may be a review's text."""
    return name if _NAME.fullmatch(name) else "(not shown: it reads like a text)"
