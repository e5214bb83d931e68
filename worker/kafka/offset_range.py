"""Where a range of a topic begins and ends: at an offset, a time, or the start or end of the log.

Owns the syntax of `--from` and `--to` and which offsets they mean. Starts are inclusive, ends exclusive. Does no I/O:
`worker.kafka.python.topics` asks the brokers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from schemas.command_line.units import read_seconds
from worker.clock import iso_utc
from worker.errors import SettingsError

POINT_SYNTAX: Final = "an ISO 8601 time (UTC when it names no zone), an offset, earliest or latest"
AGO_SYNTAX: Final = f"how long ago (2h, 30d), {POINT_SYNTAX}"


class Span(NamedTuple):
    """Offsets of one partition; the end is exclusive."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """The number of offsets; there are fewer records where compaction or transaction markers leave gaps."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Point:
    """A position in every partition of a topic; `value` is an offset, or milliseconds since the epoch."""

    kind: Literal["earliest", "offset", "time", "latest"]
    value: int = 0

    def __str__(self) -> str:
        if self.kind == "time":
            return iso_utc(self.value / 1000)
        return str(self.value) if self.kind == "offset" else self.kind

    def offset_in(self, log: Span, first_since: int | None) -> int:
        """Return the offset that this means in a partition, limited to its log.

        Args:
            log: the offsets that the partition holds.
            first_since: for a time, the first offset at or after it; None when there is none.
        """
        if self.kind == "earliest":
            return log.start
        if self.kind == "latest":
            return log.end
        wanted = self.value if self.kind == "offset" else first_since
        return log.end if wanted is None else min(max(wanted, log.start), log.end)


EARLIEST: Final = Point("earliest")
LATEST: Final = Point("latest")


def parse_point(flag: str, text: str, now: float | None = None) -> Point:
    """Read the value of `--from` or `--to`.

    Args:
        flag: which of them.
        text: its value.
        now: the time by which `2h` is two hours ago; None: that is no value, because the same command is run again.

    Raises:
        SettingsError: it is not `POINT_SYNTAX`, or with `now` not `AGO_SYNTAX`.
    """
    ago = read_seconds(text)
    if now is not None and isinstance(ago, float):
        return Point("time", max(0, round((now - ago) * 1000)))
    if text in {"earliest", "latest"}:
        return EARLIEST if text == "earliest" else LATEST
    if re.fullmatch("[0-9]{1,19}", text):
        return Point("offset", int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{flag} {text}: takes {POINT_SYNTAX if now is None else AGO_SYNTAX}") from error
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return Point("time", max(0, round(time.timestamp() * 1000)))


def parse_bounds(start: str, end: str, now: float | None = None) -> tuple[Point, Point]:
    """Read the values of `--from` and `--to`.

    Raises:
        SettingsError: one of them is not a point, or nothing can be between them.
    """
    points = parse_point("--from", start, now), parse_point("--to", end, now)
    if points[0] == LATEST or points[1] == EARLIEST:
        raise SettingsError("--from latest, --to earliest: nothing is between them")
    return points
