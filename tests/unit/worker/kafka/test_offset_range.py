"""Points in a topic: their syntax, and the offsets they resolve to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.kafka.offset_range import EARLIEST, LATEST, Point, Span, parse_point

OFFSETS = st.integers(0, 1000)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("earliest", EARLIEST),
        ("latest", LATEST),
        ("0", Point("offset", 0)),
        ("20260301", Point("offset", 20260301)),
        ("2026-03-01", Point("time", 1772323200_000)),
        ("2026-03-01T00:00:00Z", Point("time", 1772323200_000)),
        ("2026-03-01T01:00:00.250+01:00", Point("time", 1772323200_250)),
        ("1960-01-01", Point("time", 0)),
    ],
)
def test_point_is_a_time_an_offset_or_an_end(text: str, point: Point) -> None:
    assert parse_point("--from", text) == point
    assert parse_point("--from", str(point)) == point


@pytest.mark.parametrize("text", ["", "-1", "1.5", "yesterday", "2026-02-30", "٣"])
def test_invalid_point_names_its_flag(text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^--to {text}: takes an ISO 8601 time"):
        parse_point("--to", text)


def test_points_resolve_to_offsets_within_the_log() -> None:
    log = Span(100, 200)
    for point, first_since, offset in (
        (EARLIEST, None, 100),
        (LATEST, None, 200),
        (Point("offset", 150), None, 150),
        (Point("offset", 5), None, 100),
        (Point("offset", 500), None, 200),
        (Point("time", 1), 120, 120),
        (Point("time", 1), None, 200),  # no record that late: nothing to read
    ):
        assert point.offset_in(log, first_since) == offset


@given(OFFSETS, OFFSETS, OFFSETS, st.none() | OFFSETS, st.sampled_from(["earliest", "offset", "time", "latest"]))
def test_a_point_never_resolves_outside_the_log(
    start: int, size: int, value: int, first_since: int | None, kind: str
) -> None:
    log = Span(start, start + size)
    assert log.start <= Point(kind, value).offset_in(log, first_since) <= log.end  # type: ignore[arg-type]
