"""Numbers as the table has them: three digits, and a unit that keeps them short. Pure."""

from __future__ import annotations

from typing import Final

_BYTES: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SPANS: Final = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def number(value: float) -> str:
    """Return three digits, with thousands apart."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def count(value: int) -> str:
    """Return a whole number as it is up to a thousand processes or so, three digits above."""
    return f"{value:,}" if value < 10_000 else number(value)


def size(value: float) -> str:
    """Return bytes with a decimal unit."""
    for unit in _BYTES[:-1]:
        if float(f"{value:.3g}") < 1_000:
            return f"{number(value)} {unit}"
        value /= 1_000
    return f"{number(value)} {_BYTES[-1]}"


def span(seconds: float) -> str:
    """Return a duration in its largest unit of which there is at least one."""
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} seconds"


def rate(value: float) -> str:
    """Return reviews a second as people say them: 1k/s, 100k/s, 10M/s."""
    for unit, size_of in (("M", 1e6), ("k", 1e3)):
        if value >= size_of:
            return f"{number(value / size_of)}{unit}/s"
    return f"{number(value)}/s"
