"""The period that is asked for, the one before it, and how the reviews of both are grouped.

Owns what `--since` and `--by` mean, and the time of a review: its own, else its record's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

from schemas.command_line.units import read_seconds
from schemas.rating import Rating
from worker.errors import SettingsError

By = Literal["star", "version", "week"]
BYS: Final[tuple[By, ...]] = get_args(By)
SINCE_SYNTAX: Final = "a duration such as 12h, 7d or 4w"
_LONGEST_S: Final = 100 * 366 * 86_400.0
_WEEK_S: Final = 7 * 86_400
_MONDAY_S: Final = 4 * 86_400  # the first one after 1970-01-01, a Thursday


@dataclass(frozen=True, slots=True)
class Period:
    """The last `length_s` seconds, and as many before them."""

    now_s: float
    length_s: float

    @property
    def begin_s(self) -> float:
        """When the time before begins."""
        return self.now_s - 2 * self.length_s

    def is_recent(self, at_s: float) -> bool | None:
        """Tell whether a time is in the period; False: in the time before, None: in neither."""
        age_s = self.now_s - at_s
        if not 0 <= age_s < 2 * self.length_s:
            return None
        return age_s < self.length_s


def parse_since(text: str, now_s: float) -> Period:
    """Read the value of `--since`.

    Raises:
        SettingsError: it is not `SINCE_SYNTAX`.
    """
    length_s = read_seconds(text)
    if not isinstance(length_s, float) or not 0 < length_s <= _LONGEST_S:
        raise SettingsError(f"--since {text}: takes {SINCE_SYNTAX}")
    return Period(now_s, length_s)


def groups_of(rating: Rating, by: By, at_s: float) -> tuple[str, ...]:
    """Return the group of a review; by stars, those of each of its labels where a label model rated it."""
    if by == "star":
        return (str(rating.rating),) if rating.labels is None else (*rating.labels,) or ("none",)
    if by == "version":
        return (rating.app_version or "unknown",)
    monday_s = (at_s - _MONDAY_S) // _WEEK_S * _WEEK_S + _MONDAY_S
    return ((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=monday_s)).date().isoformat(),)
