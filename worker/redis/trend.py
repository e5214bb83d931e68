"""An app's trend: how many reviews had how many stars, by hour and app version, in `trend:{<app id>}:<date>`.

Owns the keys, the fields `<hour>:<version>:<stars>` (of a label model `labels` and `#<label>`, see `counts`), and how
hours are put together. An hour is of the review's own time, in UTC, counted from 1970 where it is a number. `write.lua`
counts, in the same call that writes the rating. Pure; `ratings` reads from Redis.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

from worker.redis.counts import CELL, Counts, counts_of, read_cell

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
_DAY_HOURS: Final = 24
AHEAD_S: Final = DAY_S  # a review may be this much ahead of the worker's clock
TrendBy = Literal["day", "hour", "version"]
TREND_BYS: Final[tuple[TrendBy, ...]] = get_args(TrendBy)
_CELL: Final = re.compile(rf"(?:([01][0-9]|2[0-3]):)?(.*):({CELL})", re.DOTALL)
_REVIEWS: Final = re.compile(r"-?[0-9]{1,18}")


class Cell(NamedTuple):
    """What is counted apart."""

    hour: int
    version: str  # empty where the review said none
    star: int | str  # or what else `counts` has


@dataclass(frozen=True, slots=True)
class Row:
    """Reviews of a day, an hour or a version."""

    name: str
    counts: Counts

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {"name": self.name, "sum": self.counts.sum, **self.counts.to_fields()}


@dataclass(slots=True)
class Trend:
    """The cells of a period; and the reviews whose hour the trend did not keep when they were rated."""

    cells: Counter[Cell] = field(default_factory=Counter)
    outside: Counter[int | str] = field(default_factory=Counter)  # by star

    def rows(self, by: TrendBy) -> list[Row]:
        """Return the rows that have reviews: hours and days from the oldest on, versions by name."""
        found: dict[str, Counter[int | str]] = {}
        for cell, count in self.cells.items():
            name = cell.version if by == "version" else _time_name(cell.hour, by)
            found.setdefault(name, Counter())[cell.star] += count
        rows = [Row(name, counts_of(cells)) for name, cells in sorted(found.items())]
        return [row for row in rows if row.counts.count]

    def to_fields(self, by: TrendBy) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return {"by": by, "rows": [row.to_fields() for row in self.rows(by)], "outside": counts_of(self.outside).count}


def hours_of(now_s: float, length_s: float) -> range:
    """Return the hours of a period that ends now, and a day ahead of it: reviews may be ahead of the clock."""
    return range(int((now_s - length_s) // HOUR_S), int((now_s + AHEAD_S) // HOUR_S) + 1)


def kept_hours(now_s: float, ttl_s: int) -> range:
    """Return the hours whose trend is kept: of whole days, because a day's expire at once."""
    return range(int((now_s - ttl_s) // DAY_S) * _DAY_HOURS, hours_of(now_s, 0).stop)


def days_of(hours: range) -> range:
    """Return the days since 1970 that have these hours."""
    return range(hours.start // _DAY_HOURS, (hours.stop - 1) // _DAY_HOURS + 1)


def trend_key(app_id: str, day: int | None, *, prefix: str = "") -> str:
    """Return the key of an app's day; None is the key of reviews of hours that the trend does not keep."""
    name = "outside" if day is None else datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
    return f"{prefix}trend:{{{app_id}}}:{name}"


def cells_of(day: int | None, fields: Mapping[str, str]) -> Iterator[tuple[Cell, int]]:
    """Yield cell and count of each field that is ours."""
    for name, count in fields.items():
        found = _CELL.fullmatch(name)
        if found and (found[1] is not None or day is None) and _REVIEWS.fullmatch(count):
            if day is None:  # a version may look like an hour
                yield Cell(0, name.rpartition(":")[0], read_cell(found[3])), int(count)
            else:
                yield Cell(day * _DAY_HOURS + int(found[1]), found[2], read_cell(found[3])), int(count)


def _time_name(hour: int, by: TrendBy) -> str:
    time = datetime.fromtimestamp(hour * HOUR_S, UTC)
    return time.date().isoformat() if by == "day" else time.strftime("%Y-%m-%dT%H:00Z")
