"""The table that `make chaos` prints."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.scene import Row

HEAD = (
    f"{'case':<20} {'reviews':>8} {'kills':>6} {'lost':>6} {'duplicated':>11} {'dead-lettered':>14} "
    f"{'recovery s':>11} {'took s':>7}"
)
_ALL_PASSED = "every row 0 lost, 0 duplicated where exactly-once is promised"


def line(row: Row) -> str:
    """Return a row as a line, followed by its notes and errors."""
    verdict = "" if row.passed else "  WRONG"
    first = (
        f"{row.case:<20} {row.reviews:>8} {row.kills:>6} {row.lost:>6} {row.duplicated:>11} {row.dead_lettered:>14} "
        f"{row.recovery_s:>11.1f} {row.seconds:>7.1f}{verdict}"
    )
    return "\n".join([first, *(f"    {line}" for text in (*row.notes, *row.wrong) for line in text.splitlines())])


def total(rows: Sequence[Row]) -> str:
    """Return the last line."""
    failed = [row.case for row in rows if not row.passed]
    result = f"wrong: {', '.join(failed)}" if failed else _ALL_PASSED
    reviews, kills = sum(row.reviews for row in rows), sum(row.kills for row in rows)
    return f"{len(rows)} cases, {reviews} reviews, {kills} kills: {result}"
