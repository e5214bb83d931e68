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
        (b"[]", "expected an object"),
        (b'{"stable": 7}', "expected an object"),
    ],
)
def test_other_content_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ChannelsError, match=rf"channels\.json: {message}"):
        parse_channels(content)


@pytest.mark.parametrize("name", ["stable", "a", "candidate-2", "a" * 41])
def test_channel_names_fit_the_pattern(name: str) -> None:
    assert re.fullmatch(CHANNEL_PATTERN, name)


@pytest.mark.parametrize("name", ["", "Stable", "1st", "../x", "20260101T000000Z-70700000", "a" * 42])
def test_paths_and_versions_are_not_channel_names(name: str) -> None:
    assert not re.fullmatch(CHANNEL_PATTERN, name)
