"""Suggests the nearest known name for an unknown one.

Owns the words of that question, which every program asks in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Return `; did you mean NAME?` for the nearest name; empty when none is near."""
    names = {name.casefold(): name for name in known}
    near = get_close_matches(typed[:200].casefold(), names, 1)
    return f"; did you mean {names[near[0]]}?" if near else ""
