"""The membership of the group as librdkafka reports it: rebalance callbacks and the opaque group metadata.

Owns the reading of both. The callbacks run inside `consume` and `close`, on the loop's own thread.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from worker.errors import TransientError
from worker.kafka.group import Ownership
from worker.records import Partition

# `CGMDv2:`, generation (int32, native byte order), group id, member id, each ended by a null, and more. Private to
# librdkafka; `test_the_membership_of_the_group_can_be_read` fails if it changes.
_FORM: Final = b"CGMDv2:"
_GENERATION: Final = struct.Struct("=i")


class Listed(Protocol):
    """A partition as the client lists it."""

    @property
    def topic(self) -> str:
        """Its topic."""
        ...

    @property
    def partition(self) -> int:
        """Its number."""
        ...


def rebalance_callbacks(ownership: Ownership) -> dict[str, Callable[[object, Sequence[Listed]], None]]:
    """Return the callbacks for `Consumer.subscribe`; the client assigns and revokes by itself."""
    return {
        "on_assign": lambda _consumer, partitions: ownership.add(_named(partitions)),
        "on_revoke": lambda _consumer, partitions: ownership.remove(_named(partitions), "revoked"),
        "on_lost": lambda _consumer, partitions: ownership.remove(_named(partitions), "lost"),
    }


def require_member(membership: Any, group: str) -> bytes:
    """Return the group metadata if it belongs to a member.

    An evicted consumer reports generation -1 and no member, and a broker accepts offsets under that unfenced.

    Raises:
        TransientError: it does not.
    """
    if not isinstance(membership, bytes) or not membership.startswith(_FORM):
        raise TransientError("kafka", f"not a member of group {group}; joining")
    (generation,) = _GENERATION.unpack_from(membership, len(_FORM))
    _group, member, _rest = membership[len(_FORM) + _GENERATION.size :].split(b"\0", 2)
    if generation < 0 or not member:
        raise TransientError("kafka", f"no longer a member of group {group}; joining again")
    return membership


def _named(partitions: Sequence[Listed]) -> set[Partition]:
    return {Partition(partition.topic, partition.partition) for partition in partitions}
