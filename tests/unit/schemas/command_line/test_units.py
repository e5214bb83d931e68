"""Durations and sizes: what people write means the same as the plain number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.command_line.units import read_bytes, read_seconds, show_bytes, show_seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5), ("30s", 30), ("5m", 300), ("2h", 7200), ("30d", 2_592_000), ("1w", 604_800), ("1h30m", 5400),
        ("0.1s", 0.1), (" 5M ", 300),
    ],
)  # fmt: skip
def test_a_duration_is_its_seconds(written: str, seconds: float) -> None:
    assert read_seconds(written) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("10MB", 10**7), ("10 mb", 10**7), ("1MiB", 2**20), ("500kB", 500_000), ("2g", 2 * 10**9), ("7B", 7), ("7", 7)],
)
def test_a_size_is_its_bytes(written: str, size: int) -> None:
    assert read_bytes(written) == size


@pytest.mark.parametrize("value", ["", "s", "5 minutes", "-5s", "1e3s", "5mm", "NaN", "5x", 5, None])
def test_what_is_no_duration_and_no_size_stays_as_it_is(value: object) -> None:
    assert read_seconds(value) == value
    assert read_bytes(value) == value


@given(st.integers(0, 10**12).map(lambda ms: ms / 1000))
def test_a_duration_is_read_as_it_is_shown(seconds: float) -> None:
    assert read_seconds(show_seconds(seconds)) == seconds


@given(st.integers(0, 10**12))
def test_a_size_is_read_as_it_is_shown(size: int) -> None:
    assert read_bytes(show_bytes(size)) == size
