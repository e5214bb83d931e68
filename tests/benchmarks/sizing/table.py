"""The sizing as Markdown: one column a rate and client, what breaks first, what was measured, what is assumed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tests.benchmarks.report import markdown_table
from tests.benchmarks.sizing.assumptions import Assumptions, described
from tests.benchmarks.sizing.measured import Bench, RecordSizes, RedisCosts
from tests.benchmarks.sizing.plan import Plan, plan
from tests.benchmarks.sizing.strains import Plans, heading, sentences
from tests.benchmarks.sizing.words import count, number, size

BEGIN: Final = "<!-- sizing: begin -->"
END: Final = "<!-- sizing: end -->"
RATES: Final = (1e3, 1e5, 1e7)

_ROWS: Final[Sequence[tuple[str, Callable[[Plan], str]]]] = (
    ("workers: CPU, cores", lambda p: number(p.workers.cores)),
    ("workers: processes (one a pod)", lambda p: count(p.workers.processes)),
    ("workers: memory", lambda p: size(p.workers.memory_bytes)),
    ("workers: consumer groups, each with its topic", lambda p: count(p.workers.groups)),
    ("`reviews`: partitions, over all groups", lambda p: count(p.workers.partitions)),
    ("`ratings`: partitions", lambda p: count(p.brokers.ratings_partitions)),
    ("Redis: memory for a million ratings", lambda p: size(p.redis.bytes_per_rating * 1e6)),
    ("Redis: memory in all, without replicas", lambda p: size(p.redis.memory_bytes)),
    ("Redis: shards by memory", lambda p: count(p.redis.shards_by_memory)),
    ("Redis: shards by CPU", lambda p: count(p.redis.shards_by_cpu)),
    ("Redis: shards, and what binds", lambda p: f"{count(p.redis.shards)}, {p.redis.binds}"),
    ("Redis: nodes, with replicas", lambda p: count(p.redis.nodes)),
    ("Redis: CPU for writes, cores", lambda p: number(p.redis.write_cores)),
    ("Redis Cluster: more CPU in the workers, cores", lambda p: number(p.redis.more_worker_cores)),
    ("Redis Cluster: nodes a full batch waits for", lambda p: number(p.redis.nodes_per_batch)),
    ("Kafka: in, a second", lambda p: size(p.brokers.in_bytes_per_s)),
    ("Kafka: out, a second", lambda p: size(p.brokers.out_bytes_per_s)),
    ("Kafka: written with copies and markers, a second", lambda p: size(p.brokers.written_bytes_per_s)),
    ("Kafka: read by workers, readers and copies, a second", lambda p: size(p.brokers.read_bytes_per_s)),
    ("Kafka: disk with copies", lambda p: size(p.brokers.disk_bytes)),
    ("Kafka: CPU with copies, cores", lambda p: number(p.brokers.cores)),
    ("Kafka: brokers, and what binds", lambda p: f"{count(p.brokers.count)}, {p.brokers.binds}"),
    ("transactions a second at this load", lambda p: number(p.transactions.per_s)),
    ("transactions a second when all are full", lambda p: number(p.transactions.fewest_per_s)),
    ("reviews in a transaction at this load", lambda p: number(p.transactions.reviews)),
    ("partitions of `ratings` one touches", lambda p: number(p.transactions.partitions_touched)),
    ("markers a second, one copy", lambda p: number(p.transactions.markers_per_s)),
    ("their bytes a second, one copy", lambda p: size(p.transactions.marker_bytes_per_s)),
)


def plans_of(bench: Bench, sizes: RecordSizes, costs: RedisCosts, given: Assumptions) -> list[Plans]:
    """Return, for each rate, the plan on each client."""
    return [
        {client: plan(rate, figures, sizes, costs, given) for client, figures in bench.clients.items()}
        for rate in RATES
    ]


def page(bench: Bench, sizes: RecordSizes, costs: RedisCosts, given: Assumptions) -> str:
    """Return everything that stands between the markers of deploy/README.md."""
    scales = plans_of(bench, sizes, costs, given)
    lines = [
        f"Made by `python -m tests.benchmarks.sizing --write` from `make bench`, {bench.measured_at}, {bench.machine}.",
        "",
    ]
    lines += [*markdown_table(_grid(scales)), "", "**What breaks first**", ""]
    lines += [f"Two figures are those of {' / '.join(bench.clients)}; times a limit, of the more strained.", ""]
    for plans in scales:
        lines += [
            f"- **{heading(plans)}**",
            *(f"  {at}. {text}" for at, text in enumerate(sentences(plans, given), start=1)),
        ]
    lines += ["", "**Measured**", "", *(f"- {line}" for line in _measured(bench, sizes, costs))]
    lines += ["", "**Assumed**", "", *(f"- {line}" for line in described(given))]
    return "\n".join(lines)


def _grid(scales: Sequence[Plans]) -> list[list[str]]:
    every = [(heading(plans), client, each) for plans in scales for client, each in plans.items()]
    first = ["reviews", *(f"{rate}, {client}" for rate, client, _ in every)]
    return [first, *([title, *(told(each) for _, _, each in every)] for title, told in _ROWS)]


def _measured(bench: Bench, sizes: RecordSizes, costs: RedisCosts) -> list[str]:
    lines = [
        f"{client}: {number(each.reviews_per_s)} reviews/s a process; CPU a review {number(each.cpu_us)} us worker, "
        f"{number(each.broker_us)} us broker, {number(each.redis_us)} us Redis; {number(each.rss_mb)} MB; "
        f"a single review answered in {number(each.idle_ms)} ms"
        for client, each in bench.clients.items()
    ]
    lines.append(
        f"{sizes.reviews:,} reviews of {sizes.corpus}: {number(sizes.review_value)} bytes of JSON, "
        f"{number(sizes.review_record)} as a record; their ratings {number(sizes.rating_value)} and "
        f"{number(sizes.rating_record)} bytes; no compression"
    )
    for name, cost in (("Redis", costs.single), ("Redis Cluster", costs.cluster)):
        lines.append(
            f"{name} {costs.version}, {costs.ratings:,} ratings: {number(cost.bytes_per_rating)} bytes a rating; CPU a "
            f"rating {number(cost.server_us)} us server, {number(cost.client_us)} us worker"
        )
    return lines
