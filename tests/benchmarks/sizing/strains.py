"""What breaks first: how near each part of a plan is to its limit, worst first, in words. Pure.

Owns the sentences; every figure in them is the plan's. A strain over 1 is past its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.benchmarks.sizing.assumptions import Assumptions
from tests.benchmarks.sizing.plan import Plan, touched
from tests.benchmarks.sizing.words import count, number, rate, size, span

Plans = Mapping[str, Plan]  # by Kafka client, of the same rate


@dataclass(frozen=True, slots=True)
class Strain:
    """A part, how many times its limit is asked of it, and what then happens."""

    part: str
    times: float
    text: str


def strains(plans: Plans, given: Assumptions) -> list[Strain]:
    """Return all parts of a rate's plans, the most strained first; the client that strains a part more counts."""
    found = [make(plans, given) for make in (_redis, _waits, _group, _markers, _partitions)]
    return sorted(found, key=lambda strain: -strain.times)


def sentences(plans: Plans, given: Assumptions) -> list[str]:
    """Return what breaks, first things first; where nothing does, what would be next."""
    ordered = strains(plans, given)
    broken = [strain for strain in ordered if strain.times > 1]
    if not broken:
        nearest = ordered[0]
        return [f"Nothing breaks. Nearest to its limit, at {number(nearest.times * 100)} % of it: {nearest.part}."]
    return [f"{strain.part} ({number(strain.times)} times its limit): {strain.text}" for strain in broken]


def _redis(plans: Plans, given: Assumptions) -> Strain:
    worst = max(plans.values(), key=lambda plan: plan.redis.strain)
    redis, bytes_per_s = worst.redis, worst.rate * worst.redis.bytes_per_rating
    shard_bytes, largest = given.shard_gb * 1e9, given.largest_cluster
    text = (
        f"{number(given.ttl_days)} days of ratings are {size(redis.memory_bytes)}, {count(redis.shards_by_memory)} "
        f"shards, while their writes ask for {count(redis.shards_by_cpu)}; one server holds "
        f"{span(shard_bytes / bytes_per_s)}. "
    )
    if redis.nodes <= given.redis_nodes:
        text += "A shorter WORKER_REDIS_TTL_S, or a Redis Cluster. "
    elif redis.shards_by_cpu <= largest:
        text += (
            f"The largest cluster, {largest:,} shards with replicas, holds "
            f"{span(largest * shard_bytes / bytes_per_s)}: WORKER_REDIS_TTL_S must fall "
            "below that, and who wants more reads the topic into a store on disks. "
        )
    else:
        text += (
            f"The largest cluster, {largest:,} shards, can not even write them: Redis is not the place for them all. "
        )
    text += (
        "In a cluster there are no summaries (WORKER_REDIS_SUMMARY=false): an app's one hot key would sit on one "
        f"shard, good for {number(redis.writes_per_shard_s)} ratings/s."
    )
    return Strain("one Redis server", redis.strain, text)


def _waits(plans: Plans, given: Assumptions) -> Strain:
    """A worker asks the nodes of a cluster one after the other (`worker.redis.store`), while its batch waits."""

    def waited_s(plan: Plan) -> float:
        return plan.redis.nodes_per_batch * given.round_trip_ms / 1e3 if plan.redis.cluster else 0.0

    def times(plan: Plan) -> float:
        return waited_s(plan) * plan.figures.reviews_per_s / given.batch_reviews

    worst = max(plans.values(), key=times)
    nodes = _by_client(plans, lambda plan: number(plan.redis.nodes_per_batch))
    text = (
        f"a full batch asks {nodes} nodes one after the other, {number(waited_s(worst) * 1e3)} ms at "
        f"{number(given.round_trip_ms)} ms each, where all its other work takes "
        f"{_by_client(plans, lambda plan: number(given.batch_reviews / plan.figures.reviews_per_s * 1e3))} ms; "
        "the processes above do not include it. Fewer, larger shards, or a Redis for each group of workers."
    )
    return Strain("round trips to a Redis Cluster", times(worst), text)


def _group(plans: Plans, given: Assumptions) -> Strain:
    processes = _by_client(plans, lambda plan: count(plan.workers.processes))
    groups = _by_client(plans, lambda plan: count(plan.workers.groups))
    commits = _by_client(plans, lambda plan: number(plan.transactions.per_s / plan.workers.groups))
    text = (
        f"{processes} members would rebalance together at each join, and one broker would take all their commits. "
        f"{groups} groups of at most {number(given.group_members)}, each with an input topic of its own (producers "
        f"divide by key); even so {commits} commits/s go to one partition of `__consumer_offsets` for each group."
    )
    return Strain(
        "one consumer group", max(plan.workers.processes for plan in plans.values()) / given.group_members, text
    )


def _markers(plans: Plans, given: Assumptions) -> Strain:
    def times(plan: Plan) -> float:
        return plan.transactions.markers_per_s * given.replication / plan.brokers.count / given.broker_markers_per_s

    worst = max(plans.values(), key=times)
    text = (
        f"a transaction of {_by_client(plans, lambda plan: number(plan.transactions.reviews))} reviews touches "
        f"{_by_client(plans, lambda plan: number(plan.transactions.partitions_touched))} of the "
        f"{count(worst.brokers.ratings_partitions)} partitions of ratings and leaves a marker in each, "
        f"{_by_client(plans, lambda plan: number(plan.transactions.markers_per_review))} for each rating; and "
        f"{_by_client(plans, lambda plan: number(plan.transactions.per_s))} transactions/s change their state "
        "three times or more (ongoing, prepare, complete) on their coordinators, the leaders of `__transaction_state`. "
        f"A ratings topic for each group ({_by_client(plans, lambda plan: number(_touched_apart(plan)))} partitions "
        "touched), a longer WORKER_LINGER_S, or WORKER_DELIVERY=at_least_once."
    )
    return Strain("transaction markers", times(worst), text)


def _touched_apart(plan: Plan) -> float:
    return touched(max(1.0, plan.brokers.ratings_partitions / plan.workers.groups), plan.transactions.reviews)


def _partitions(plans: Plans, given: Assumptions) -> Strain:
    copies = _by_client(plans, lambda plan: count(plan.brokers.partition_copies))
    most = max(plan.brokers.partition_copies for plan in plans.values())
    text = (
        f"{copies} copies of partitions, where {number(given.cluster_partitions)} are one cluster's: several clusters."
    )
    return Strain("partitions of one Kafka cluster", most / given.cluster_partitions, text)


def _by_client(plans: Plans, told: Callable[[Plan], str]) -> str:
    """Return what is told of each client, in their order, once when it is the same."""
    return " / ".join(dict.fromkeys(told(plan) for plan in plans.values()))


def heading(plans: Plans) -> str:
    """Return the rate these plans are for."""
    return rate(next(iter(plans.values())).rate)
