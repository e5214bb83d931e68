"""The group membership as librdkafka reports it: rebalance callbacks and the opaque group metadata.

Owns both. The callbacks run inside `consume` and `close`, on the loop's own thread.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import TopicPartition

from worker.errors import TransientError
from worker.kafka.group import Ownership
from worker.records import Partition
from worker.settings import WorkerSettings

# `CGMDv2:`, generation (int32, native byte order), group id and member id (null-terminated), and more. Private to
# librdkafka; `test_an_evicted_member_cannot_commit_before_it_has_joined_again` fails if it changes.
_FORMAT: Final = b"CGMDv2:"
_GENERATION: Final = struct.Struct("=i")


def rebalance_callbacks(ownership: Ownership) -> dict[str, Callable[[Any, Sequence[TopicPartition]], None]]:
    """Return the callbacks for `Consumer.subscribe`; the client assigns and revokes by itself."""

    def assigned(consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        ownership.add(_to_partitions(partitions), member_id_of(consumer.consumer_group_metadata()))

    return {
        "on_assign": assigned,
        "on_revoke": lambda _consumer, partitions: ownership.remove(_to_partitions(partitions), "revoked"),
        "on_lost": lambda _consumer, partitions: ownership.remove(_to_partitions(partitions), "lost"),
    }


def require_member(membership: Any, group: str) -> bytes:
    """Return the group metadata if it belongs to a member.

    An evicted consumer reports generation -1 (KIP-848: 0) and no member; a broker accepts offsets under that unfenced.

    Raises:
        TransientError: it does not.
    """
    if not isinstance(membership, bytes) or not membership.startswith(_FORMAT):
        raise TransientError("kafka", f"not a member of group {group}; joining")
    generation, member_id = _member(membership)
    if generation < 1 or not member_id:  # KIP-848: the member's epoch, 0 while it joins
        raise TransientError("kafka", f"no longer a member of group {group}; joining again")
    return membership


def member_id_of(membership: Any) -> str:
    """Return the member id of group metadata; `""` of no member."""
    return _member(membership)[1]


def _member(membership: Any) -> tuple[int, str]:
    """Return the generation and the member id; -1 and `""` of no member."""
    if not isinstance(membership, bytes) or not membership.startswith(_FORMAT):
        return -1, ""
    (generation,) = _GENERATION.unpack_from(membership, len(_FORMAT))
    _group, member_id, _rest = membership[len(_FORMAT) + _GENERATION.size :].split(b"\0", 2)
    return generation, member_id.decode()


def note_joined(ownership: Ownership, membership: Any, settings: WorkerSettings) -> None:
    """Record a membership without partitions: with KIP-848 the client calls nobody back about it."""
    if settings.kafka_group_protocol == "consumer" and not ownership.joined:
        with suppress(TransientError):
            require_member(membership, settings.group_id)
            ownership.add(())


def _to_partitions(partitions: Sequence[TopicPartition]) -> set[Partition]:
    return {Partition(partition.topic, partition.partition) for partition in partitions}
