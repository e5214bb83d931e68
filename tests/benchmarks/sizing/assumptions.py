"""What the sizing takes as given, because it can not be measured here, each with its unit and its reason.

Owns the defaults. What the worker has a default for (life of a rating, reviews a batch) is the worker's own.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

from worker.settings import WorkerSettings

_TTL_S: Final = float(WorkerSettings.model_fields["redis_ttl_s"].default)
_BATCH_REVIEWS: Final = int(WorkerSettings.model_fields["batch_reviews"].default)


def _given(default: float, unit: str, why: str) -> Any:
    return field(default=default, metadata={"unit": unit, "why": why})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Everything the plan takes as given. `metadata` of each field has its unit and its reason."""

    headroom: float = _given(
        0.4, "of a process or broker core", "kept free for peaks, for a dead neighbour's share, to catch up"
    )
    batch_reviews: float = _given(
        _BATCH_REVIEWS, "reviews", "most in a transaction: the worker's default WORKER_BATCH_REVIEWS"
    )
    least_processes: float = _given(2, "", "one may die; what deploy/kubernetes/base starts")
    partitions_per_process: float = _given(
        2, "", "a dead process's share goes to two others; the group can double before keys move to new partitions"
    )
    least_partitions: float = _given(6, "", "what docker-compose.yml creates")
    partition_mb_s: float = _given(
        10,
        "MB/s",
        "most for one partition; one takes tens of MB/s (Jun Rao, How to choose the number of topics/partitions)",
    )
    input_batch_bytes: float = _given(16_384, "bytes", "producers fill their batches to the default batch.size")
    ttl_days: float = _given(
        _TTL_S / 86_400, "days", "life of a rating in Redis: the worker's default WORKER_REDIS_TTL_S"
    )
    shard_gb: float = _given(64, "GB", "data of one Redis server; copies on write and buffers need memory beside it")
    shard_core: float = _given(
        0.7, "of its one core", "one thread runs Redis's commands; the rest is expiry, replication and readers"
    )
    redis_replicas: float = _given(1, "for each shard", "a shard that dies has a successor")
    redis_nodes: float = _given(1_000, "nodes", "the most the Redis Cluster specification recommends")
    round_trip_ms: float = _given(0.5, "ms", "to Redis and back inside one data centre")
    replication: float = _given(3, "copies", "of every partition; one may be away with min.insync.replicas=2")
    ratings_readers: float = _given(1, "", "groups that read the ratings in full")
    broker_mb_s: float = _given(
        100, "MB/s", "log written by one broker, copies included: a tenth of 10 Gbit/s, as it also sends them"
    )
    broker_cores: float = _given(8, "cores", "of one broker")
    broker_disk_tb: float = _given(16, "TB", "of one broker")
    retention_days: float = _given(7, "days", "Kafka's default log.retention.hours, for both topics")
    broker_partitions: float = _given(
        4_000, "copies", "of partitions on one broker (the recommendation KIP-578 quotes)"
    )
    cluster_partitions: float = _given(
        200_000, "copies", "of partitions in one Kafka cluster (the same; older than KRaft, which bears more)"
    )
    group_members: float = _given(
        500,
        "members",
        "each join or leave concerns all, one broker coordinates them, one record of at most 1 MB keeps the group",
    )
    broker_markers_per_s: float = _given(
        10_000,
        "a second",
        "transaction markers one broker appends, copies included; a guess, as nothing here measures it",
    )

    @property
    def utilisation(self) -> float:
        """Return the share that is used."""
        return 1 - self.headroom

    @property
    def largest_cluster(self) -> int:
        """Return the most shards of one Redis Cluster."""
        return max(1, int(self.redis_nodes / (1 + self.redis_replicas)))


def described(given: Assumptions) -> list[str]:
    """Return one line an assumption: name, value, unit, reason."""
    return [_line(each, getattr(given, each.name)) for each in fields(given)]


def _line(each: Field[Any], value: float) -> str:
    unit = f" {each.metadata['unit']}" if each.metadata["unit"] else ""
    return f"`{each.name}` {value:,g}{unit}: {each.metadata['why']}"
