"""The names of channels: which are allowed, and what is said of one that there is not.

Owns these two. `registry` knows which channels there are.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from schemas.channels import CHANNEL_PATTERN
from schemas.command_line.spelling import did_you_mean
from trainer.errors import RegistryError


def no_channel(channel: str, known: Collection[str]) -> str:
    """Return the line that says so, with the nearest name."""
    there = f"there are: {', '.join(sorted(known))}" if known else "there is none yet"
    return f"there is no channel {channel}; {there}{did_you_mean(channel, known)}"


def check_channel(channel: str) -> None:
    """Refuse a name that is not allowed for a channel.

    Raises:
        RegistryError: it is empty, long, or looks like a path or a version.
    """
    if not re.fullmatch(CHANNEL_PATTERN, channel):
        raise RegistryError(f"channel {channel!r}: use lower-case letters, digits, - and _, starting with a letter")
