"""Durations and sizes as people write them: `500ms`, `30s`, `5m`, `2h`, `30d`, `10MB`.

Owns their forms. A plain number is in the unit that the setting's name ends with: `_s` seconds, `_bytes` bytes. What
is in no form is returned as it came, so that pydantic refuses it as no number.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator

SECONDS_IN: Final = {
    "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400),
    "w": Decimal(604_800),
}  # fmt: skip
_BYTES_IN: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_ANY_CASE: Final = re.IGNORECASE | re.ASCII  # without ASCII, \u017f is an s, too
_PART: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|[smhdw])", _ANY_CASE)
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+", _ANY_CASE)
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([kmg]?i?)b?", _ANY_CASE)


def read_seconds(value: object) -> object:
    """Return the seconds of `30s` or `1h30m`; anything else as it is."""
    if not isinstance(value, str) or _DURATION.fullmatch(value.strip()) is None:
        return value
    return float(sum(Decimal(number) * SECONDS_IN[unit.lower()] for number, unit in _PART.findall(value)))


def duration(text: str) -> float:
    """Return the seconds of a flag's value.

    Raises:
        ValueError: it is no duration, not even a plain number of seconds.
    """
    seconds = float(read_seconds(text))  # type: ignore[arg-type]
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def read_bytes(value: object) -> object:
    """Return the bytes of `10MB` (10,000,000) or `10MiB` (10,485,760); anything else as it is."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _BYTES_IN:
        return value
    size = Decimal(found[1]) * _BYTES_IN[found[2].lower()]
    return int(size) if size == int(size) else float(size)


def show_seconds(seconds: float) -> str:
    """Return a duration in the largest unit that it is a whole number of, such as `5m`."""
    exact = Decimal(str(seconds))
    units = ("d", "h", "m", "s", "ms")
    unit = next((unit for unit in units if exact and exact % SECONDS_IN[unit] == 0), "s")
    return f"{(exact / SECONDS_IN[unit]).normalize():f}{unit}"


def show_bytes(size: int) -> str:
    """Return a size in the largest decimal unit that it is a whole number of, such as `4MB`."""
    unit = next((unit for unit in ("g", "m", "k") if size and size % _BYTES_IN[unit] == 0), "")
    return f"{size // _BYTES_IN[unit]}{'kB' if unit == 'k' else f'{unit.upper()}B'}"


Seconds = Annotated[float, BeforeValidator(read_seconds)]
WholeSeconds = Annotated[int, BeforeValidator(read_seconds)]
Bytes = Annotated[int, BeforeValidator(read_bytes)]
