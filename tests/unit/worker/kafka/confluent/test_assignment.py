"""The membership of the group, read from librdkafka's opaque metadata."""

from __future__ import annotations

import struct

import pytest

from worker.errors import TransientError
from worker.kafka.confluent.assignment import require_member


def membership(generation: int, member: bytes) -> bytes:
    return b"CGMDv2:" + struct.pack("=i", generation) + b"a group\0" + member + b"\0\1"


def test_metadata_of_a_member_is_returned_unchanged() -> None:
    assert require_member(membership(7, b"rdkafka-1"), "a group") == membership(7, b"rdkafka-1")


@pytest.mark.parametrize("metadata", [None, b"", b"CGMDv3:....", membership(-1, b"rdkafka-1"), membership(7, b"")])
def test_metadata_of_a_consumer_without_membership_is_refused(metadata: bytes | None) -> None:
    with pytest.raises(TransientError, match="member of group a group"):
        require_member(metadata, "a group")
