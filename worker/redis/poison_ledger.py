"""The poison ledger in Redis: one hash per consumer group, one field per partition, `first:last:runs:run id`.

Owns that hash. `worker.stream.poison` interprets the notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from worker.ops.metrics import Metrics
from worker.records import Partition
from worker.redis.client import close, connect, counted
from worker.settings import WorkerSettings
from worker.stream.ports import Attempt, PoisonLedger

_NOTE: Final = re.compile(rb"(\d{1,19}):(\d{1,19}):(\d{1,9}):([a-z0-9]*)")


class RedisPoisonLedger(PoisonLedger):
    """The PoisonLedger port on a Redis server or cluster."""

    def __init__(self, settings: WorkerSettings, *, metrics: Metrics) -> None:
        self._key = f"{settings.redis_prefix}attempts:{{{settings.group_id}}}"
        self._metrics = metrics
        self._client: Any = connect(settings)

    @override
    def load_attempts(self, partitions: Sequence[Partition]) -> Mapping[Partition, Attempt]:
        with counted(self._metrics, f"read attempts from {self._key}", self._client):
            found = self._client.hmget(self._key, list(map(_field, partitions)))
        notes = {}
        for partition, note in zip(partitions, found, strict=True):
            if note is not None and (read := _NOTE.fullmatch(note)):  # other programs can write to Redis, too
                first, last, runs = map(int, read.groups()[:3])
                notes[partition] = Attempt(first, last, runs, read[4].decode())
        return notes

    @override
    def save_attempts(self, attempts: Mapping[Partition, Attempt]) -> None:
        notes = {
            _field(partition): f"{note.first}:{note.last}:{note.runs}:{note.run_id}"
            for partition, note in attempts.items()
        }
        with counted(self._metrics, f"note attempts in {self._key}", self._client):
            self._client.hset(self._key, mapping=notes)

    def clear(self) -> None:
        """Drop all notes of the group.

        Raises:
            ServiceError: Redis does not answer or refuses.
        """
        with counted(self._metrics, "clear attempts", self._client):
            self._client.delete(self._key)

    def close(self) -> None:
        """Close the connections."""
        close(self._client)


def _field(partition: Partition) -> str:
    return f"{partition.topic}-{partition.partition}"
