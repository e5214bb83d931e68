"""The arithmetic: from a rate, what was measured and what is assumed to a plan of workers, Redis and Kafka. Pure.

Every formula stands in the function that uses it. Amounts are per second, bytes, or counts; megabytes are 10^6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.benchmarks.sizing.assumptions import Assumptions
from tests.benchmarks.sizing.measured import ClientFigures, RecordSizes, RedisCosts
from tests.benchmarks.sizing.wire import MARKER_BYTES, batched_bytes

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a stream."""

    cores: float
    processes: int
    partitions: int  # of the input topic, over all groups
    groups: int
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class Transactions:
    """What exactly-once delivery adds."""

    reviews: float  # in a transaction at this load
    per_s: float
    fewest_per_s: float  # when there is a backlog, so that all are full
    partitions_touched: float  # of the ratings topic, by one
    markers_per_s: float
    marker_bytes_per_s: float  # one copy

    @property
    def markers_per_review(self) -> float:
        """Return how many control records stand beside a rating."""
        return self.markers_per_s / (self.per_s * self.reviews)


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis servers. `cluster` when one is not enough: then no summaries, and a call for each rating."""

    cluster: bool
    bytes_per_rating: float
    memory_bytes: float  # of the primaries
    shards_by_memory: int
    shards_by_cpu: int
    nodes: int  # with replicas
    write_cores: float
    strain: float  # times what one server can do
    more_worker_cores: float  # because each rating is a call of its own
    nodes_per_batch: float  # whom a full batch waits for, one after the other; 1 without a cluster
    writes_per_shard_s: float  # what one can take

    @property
    def shards(self) -> int:
        """Return how many are enough for both."""
        return max(self.shards_by_memory, self.shards_by_cpu)

    @property
    def binds(self) -> str:
        """Return which of the two asks for more."""
        if self.shards == 1:
            return "neither"
        return "memory" if self.shards_by_memory >= self.shards_by_cpu else "CPU"


@dataclass(frozen=True, slots=True)
class Brokers:
    """The Kafka cluster."""

    in_bytes_per_s: float
    out_bytes_per_s: float
    written_bytes_per_s: float  # with copies and markers
    read_bytes_per_s: float  # by workers, readers and copies
    ratings_partitions: int
    partition_copies: int
    cores: float
    disk_bytes: float
    by: dict[str, int]  # brokers by what asks for them

    @property
    def count(self) -> int:
        """Return how many are enough for all."""
        return max(self.by.values())

    @property
    def binds(self) -> str:
        """Return what asks for most."""
        return max(self.by, key=lambda name: self.by[name])


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stream of some rate takes on one Kafka client."""

    rate: float
    figures: ClientFigures
    workers: Workers
    transactions: Transactions
    redis: Redis
    brokers: Brokers


def plan(rate: float, figures: ClientFigures, sizes: RecordSizes, costs: RedisCosts, given: Assumptions) -> Plan:
    """Return the plan for so many reviews a second."""
    workers = size_workers(rate, figures, sizes, given)
    ratings_partitions = max(
        _ceil(given.least_partitions), _ceil(rate * sizes.rating_record / (given.partition_mb_s * 1e6))
    )
    transactions = size_transactions(rate, workers.processes, ratings_partitions, figures, given)
    redis = size_redis(rate, figures, costs, given)
    brokers = size_brokers(rate, workers.partitions, ratings_partitions, transactions, figures.broker_us, sizes, given)
    return Plan(rate, figures, workers, transactions, redis, brokers)


def size_workers(rate: float, figures: ClientFigures, sizes: RecordSizes, given: Assumptions) -> Workers:
    """Processes at the utilisation; partitions a multiple of them, more where bytes ask for it."""
    processes = max(_ceil(given.least_processes), _ceil(rate / (figures.reviews_per_s * given.utilisation)))
    by_bytes = rate * sizes.review_record / (given.partition_mb_s * 1e6)
    partitions = max(given.least_partitions, processes * given.partitions_per_process, by_bytes)
    return Workers(
        cores=rate * figures.cpu_us / 1e6,
        processes=processes,
        partitions=_ceil(partitions),
        groups=_ceil(processes / given.group_members),
        memory_bytes=processes * figures.rss_mb * 1e6,
    )


def batch_at_load(rate: float, figures: ClientFigures, most: float) -> float:
    """Return how many reviews a batch has when one process gets so many a second.

    A batch takes F + b * c seconds: F is the answer time of a single review (what it waits for Redis and the brokers,
    taken from `idle_topic_p50_ms`, so rather too long), c the rest of a review's time in a full batch, 1/C - F/most.
    What arrives meanwhile is the next batch, b = rate * (F + b * c), hence b = rate * F / (1 - rate * c).
    """
    fixed_s = figures.idle_ms / 1e3
    each_s = max(0.0, 1 / figures.reviews_per_s - fixed_s / most)
    if rate * each_s >= 1:
        return most
    return min(most, max(1.0, rate * fixed_s / (1 - rate * each_s)))


def touched(boxes: float, balls: float) -> float:
    """Return how many of so many boxes get at least one of the balls thrown at random (expected value)."""
    return boxes * (1 - math.pow(1 - 1 / boxes, balls))


def size_transactions(
    rate: float, processes: int, ratings_partitions: int, figures: ClientFigures, given: Assumptions
) -> Transactions:
    """A transaction a batch; a marker for each partition of ratings it touched, and one for the group's offsets."""
    reviews = batch_at_load(rate / processes, figures, given.batch_reviews)
    per_s = rate / reviews
    partitions = touched(ratings_partitions, reviews)
    markers_per_s = per_s * (partitions + 1)
    return Transactions(
        reviews, per_s, rate / given.batch_reviews, partitions, markers_per_s, markers_per_s * MARKER_BYTES
    )


def size_redis(rate: float, figures: ClientFigures, costs: RedisCosts, given: Assumptions) -> Redis:
    """Shards for the ratings of a whole life, and for their writes; one server where that is enough.

    The server's time in a cluster is the benchmark's, times how much dearer a call a rating was than 256 a call.
    """
    kept = rate * given.ttl_days * _DAY_S
    shard_bytes = given.shard_gb * 1e9

    def by_cpu(us: float) -> int:
        return _ceil(rate * us / 1e6 / given.shard_core)

    cost, us = costs.single, figures.redis_us
    cluster = max(_ceil(kept * cost.bytes_per_rating / shard_bytes), by_cpu(us)) > 1
    if cluster:
        cost, us = costs.cluster, figures.redis_us * costs.cluster.server_us / costs.single.server_us
    by_memory = _ceil(kept * cost.bytes_per_rating / shard_bytes)
    shards = max(by_memory, by_cpu(us))
    return Redis(
        cluster=cluster,
        bytes_per_rating=cost.bytes_per_rating,
        memory_bytes=kept * cost.bytes_per_rating,
        shards_by_memory=by_memory,
        shards_by_cpu=by_cpu(us),
        nodes=_ceil(shards * (1 + given.redis_replicas)),
        write_cores=rate * us / 1e6,
        strain=max(kept * cost.bytes_per_rating / shard_bytes, rate * us / 1e6 / given.shard_core),
        more_worker_cores=max(0.0, rate * (cost.client_us - costs.single.client_us) / 1e6),
        nodes_per_batch=touched(min(shards, given.largest_cluster), given.batch_reviews),
        writes_per_shard_s=given.shard_core * 1e6 / us,
    )


def size_brokers(
    rate: float,
    reviews_partitions: int,
    ratings_partitions: int,
    transactions: Transactions,
    broker_us: float,
    sizes: RecordSizes,
    given: Assumptions,
) -> Brokers:
    """Bytes with their share of the batches' headers; brokers by each of what they can run out of."""
    per_in_batch = max(1.0, given.input_batch_bytes / sizes.review_record)
    in_bytes = rate * batched_bytes(sizes.review_record, per_in_batch)
    per_out_batch = transactions.reviews / transactions.partitions_touched
    out_bytes = rate * batched_bytes(sizes.rating_record, per_out_batch)
    written = (in_bytes + out_bytes + transactions.marker_bytes_per_s) * given.replication
    copying = written * (given.replication - 1) / given.replication
    cores = rate * broker_us / 1e6 * given.replication
    copies = _ceil((reviews_partitions + ratings_partitions) * given.replication)
    disk = written * given.retention_days * _DAY_S
    return Brokers(
        in_bytes_per_s=in_bytes,
        out_bytes_per_s=out_bytes,
        written_bytes_per_s=written,
        read_bytes_per_s=in_bytes + out_bytes * given.ratings_readers + copying,
        ratings_partitions=ratings_partitions,
        partition_copies=copies,
        cores=cores,
        disk_bytes=disk,
        by={
            "copies": _ceil(given.replication),
            "bandwidth": _ceil(written / (given.broker_mb_s * 1e6)),
            "CPU": _ceil(cores / (given.broker_cores * given.utilisation)),
            "disk": _ceil(disk / (given.broker_disk_tb * 1e12)),
            "partitions": _ceil(copies / given.broker_partitions),
        },
    )


def _ceil(value: float) -> int:
    """Round up, but not for what is only a float's error above a whole number."""
    return max(1, math.ceil(round(value, 9)))
