"""The consumer group as librdkafka tells it: which partitions are owned, and under which membership.

Owns what the rebalance callbacks note and the reading of the opaque group metadata. The callbacks run inside `consume`
and `close`, on the loop's own thread, so nothing here is locked; the client assigns and gives up by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, Protocol

from worker.errors import TransientError
from worker.ops.metrics import Metrics
from worker.records import Partition

# `CGMDv2:`, generation (int32, this machine's order), group id, member id, each ended by a null, and more.
# Private to librdkafka; `test_the_membership_of_the_group_can_be_read` fails if it changes.
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


class Ownership:
    """Notes changes of ownership."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._revoked: set[Partition] = set()
        self.owned: set[Partition] = set()
        self._gone_lately: set[Partition] = set()
        self.joined = False
        self.changes = 0  # how often the assignment was told

    def assigned(self, _consumer: object, partitions: Sequence[Listed]) -> None:
        """Take partitions that are ours from now on; none is an assignment, too."""
        self._metrics.rebalances.labels("assigned").inc()
        self.owned |= _named(partitions)
        self.joined = True
        self.changes += 1
        self._metrics.partitions_assigned.set(len(self.owned))

    def revoked(self, _consumer: object, partitions: Sequence[Listed]) -> None:
        """Let partitions go that are asked back."""
        self._gone(partitions, "revoked")

    def lost(self, _consumer: object, partitions: Sequence[Listed]) -> None:
        """Let partitions go that are another's already."""
        self.joined = False
        self._gone(partitions, "lost")

    def take_revoked(self) -> frozenset[Partition]:
        """Return the partitions lost or revoked since the last call."""
        taken, self._revoked = frozenset(self._revoked), set()
        return taken

    def take_gone(self) -> frozenset[Partition]:
        """Return the same for the source itself; such a one may be owned again, from another offset."""
        taken, self._gone_lately = frozenset(self._gone_lately), set()
        return taken

    def _gone(self, partitions: Sequence[Listed], event: str) -> None:
        gone = _named(partitions)
        if gone:
            self._metrics.rebalances.labels(event).inc()
        self._revoked |= gone
        self._gone_lately |= gone
        self.owned -= gone
        self.changes += 1
        for each in gone:
            self._metrics.lag.labels(each.topic, str(each.partition)).set(0)
        self._metrics.partitions_assigned.set(len(self.owned))


def require_member(membership: Any, group: str) -> bytes:
    """Return the group metadata when it is a member's.

    An evicted consumer tells generation -1 and no member, and a broker takes offsets under that unfenced.

    Raises:
        TransientError: it is no member's.
    """
    if not isinstance(membership, bytes) or not membership.startswith(_FORM):
        raise TransientError("kafka", f"no member of group {group}; joining")
    (generation,) = _GENERATION.unpack_from(membership, len(_FORM))
    _group, member, _rest = membership[len(_FORM) + _GENERATION.size :].split(b"\0", 2)
    if generation < 0 or not member:
        raise TransientError("kafka", f"no member of group {group} any more; joining again")
    return membership


def _named(partitions: Sequence[Listed]) -> set[Partition]:
    return {Partition(each.topic, each.partition) for each in partitions}
