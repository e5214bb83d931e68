"""`channels.json` of a registry: which version each channel points at.

Owns the file's name, its form and the names of channels. Never reads or writes it: the trainer's registry moves
channels, and the worker follows one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

CHANNELS_FILE = "channels.json"
STABLE = "stable"
CANDIDATE = "candidate"
CHANNEL_PATTERN = r"^[a-z][a-z0-9_-]{0,40}$"


class ChannelsError(ValueError):
    """Content that is not `channels.json`; the message says what was expected."""


def parse_channels(content: bytes) -> dict[str, str]:
    """Return the version of each channel.

    Raises:
        ChannelsError: it is not a JSON object whose values are all strings.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ChannelsError(f"{CHANNELS_FILE}: not JSON ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(version, str) for version in found.values()):
        raise ChannelsError(f"{CHANNELS_FILE}: expected an object of channel: version")
    return found


def channels_bytes(channels: Mapping[str, str]) -> bytes:
    """Return the content of the file."""
    return json.dumps(channels, indent=2, sort_keys=True).encode() + b"\n"
