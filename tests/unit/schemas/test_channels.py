"""`channels.json`: what is written reads back, and anything else is refused by name."""

from __future__ import annotations

import re

import pytest

from schemas.channels import CHANNEL_PATTERN, STABLE, ChannelsError, channels_bytes, parse_channels


def test_channels_read_back_and_are_written_sorted() -> None:
    channels = {STABLE: "v2", "candidate": "v3"}
    assert parse_channels(channels_bytes(channels)) == channels
    assert channels_bytes(channels) == b'{\n  "candidate": "v3",\n  "stable": "v2"\n}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected an object"),
        (b'{"stable": 7}', "expected an object"),
    ],
)
def test_other_content_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ChannelsError, match=rf"channels\.json: {message}"):
        parse_channels(content)


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        (["stable", "a", "candidate-2", "a" * 41], True),
        (["", "Stable", "1st", "../x", "20260101T000000Z-70700000", "a" * 42], False),
    ],
)
def test_channel_names_are_neither_paths_nor_versions(names: list[str], allowed: bool) -> None:
    assert [bool(re.fullmatch(CHANNEL_PATTERN, name)) for name in names] == [allowed] * len(names)
