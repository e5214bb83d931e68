"""`python -m tests.benchmarks.sizing`: what 1k, 100k and 10M reviews a second need.

Arithmetic on results.json of `make bench`. What that does not measure is an assumption: printed with its reason, and a
flag. `--write` puts the table into deploy/README.md. Exit code 2: a row or a figure is missing from results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.corpus import ROOT
from tests.benchmarks.report import JSON, markdown_table, spliced
from worker.settings import WorkerSettings

BEGIN: Final = "<!-- sizing: begin -->"
END: Final = "<!-- sizing: end -->"
README: Final = ROOT / "deploy" / "README.md"
RATES: Final = {"1k/s": 1e3, "100k/s": 1e5, "10M/s": 1e7}
ROWS: Final = {"kafka-python": "worker", "confluent-kafka": "worker_confluent"}  # client -> row of results.json
FIGURES: Final = (
    "reviews_per_s",
    "cpu_us_per_review",
    "broker_cpu_us_per_review",
    "redis_cpu_us_per_review",
    "rss_mb",
)
_DAY_S: Final = 86_400
_TTL_DAYS: Final = float(WorkerSettings.model_fields["redis_ttl_s"].default) / _DAY_S
_TREND_DAYS: Final = float(WorkerSettings.model_fields["trend_ttl_s"].default) / _DAY_S

Values = Mapping[str, float]


class Assumption(NamedTuple):
    """A value that `make bench` does not measure, and why it is what it is."""

    value: float
    unit: str
    reason: str


ASSUMED: Final[Mapping[str, Assumption]] = {
    "headroom": Assumption(0.4, "of a worker or broker core", "free for peaks, for a dead worker's share, to catch up"),
    "min_processes": Assumption(2, "", "one may die; deploy/kubernetes/base starts as many"),
    "partitions_per_process": Assumption(2, "", "the group can double before keys move to new partitions"),
    "min_partitions": Assumption(6, "", "docker-compose.yml creates as many"),
    "review_bytes": Assumption(282, "a record", "mean of 50,000 app-store reviews, uncompressed (tests/LOG.md)"),
    "rating_bytes": Assumption(448, "a record", "mean of their ratings with headers, uncompressed (tests/LOG.md)"),
    "redis_bytes": Assumption(
        483, "a rating", "WORKER_REDIS_FORM=2, Redis 7.0.15, ids of 36 characters (worker/LOG.md, 6)"
    ),
    "ttl_days": Assumption(_TTL_DAYS, "days", "a rating stays in Redis for the default of WORKER_REDIS_TTL_S"),
    "apps": Assumption(
        1000, "apps", "that are reviewed in every hour; a trend takes as much for few reviews as for many"
    ),
    "trend_bytes": Assumption(
        217,
        "an app and hour",
        "3 versions at once, each with all stars: tests.benchmarks.trend_memory (worker/LOG.md, 8)",
    ),
    "trend_days": Assumption(_TREND_DAYS, "days", "a day stays in a trend for the default of WORKER_TREND_TTL_S"),
    "redis_gb": Assumption(64, "GB", "data of one Redis server; a snapshot and its buffers need memory beyond it"),
    "redis_core": Assumption(0.7, "of a core", "one thread runs all commands of a server, also of those who read"),
    "replication": Assumption(3, "copies", "of every partition: one may be away with min.insync.replicas=2"),
    "retention_days": Assumption(7, "days", "Kafka's default, for reviews and ratings"),
    "broker_mb_s": Assumption(100, "MB/s", "log written by one broker: a tenth of 10 Gbit/s, because it also sends it"),
    "broker_cores": Assumption(8, "cores", "of one broker"),
    "broker_disk_tb": Assumption(16, "TB", "of one broker"),
}


def needs(rate: float, measured: Values, assumed: Values) -> dict[str, float]:
    """Return what a stream of `rate` reviews a second needs; bytes, cores and counts."""
    used = 1 - assumed["headroom"]
    processes = max(assumed["min_processes"], ceil(rate / (measured["reviews_per_s"] * used)))
    redis_bytes = rate * assumed["ttl_days"] * _DAY_S * assumed["redis_bytes"]
    trend_bytes = assumed["apps"] * assumed["trend_days"] * 24 * assumed["trend_bytes"]
    redis_cores = rate * measured["redis_cpu_us_per_review"] / 1e6
    log_bytes_per_s = rate * (assumed["review_bytes"] + assumed["rating_bytes"]) * assumed["replication"]
    log_bytes = log_bytes_per_s * assumed["retention_days"] * _DAY_S
    broker_cores = rate * measured["broker_cpu_us_per_review"] / 1e6 * assumed["replication"]
    return {
        "worker_cores": rate * measured["cpu_us_per_review"] / 1e6,
        "processes": processes,
        "worker_bytes": processes * measured["rss_mb"] * 1e6,
        "partitions": max(assumed["min_partitions"], processes * assumed["partitions_per_process"]),
        "redis_bytes": redis_bytes,
        "trend_bytes": trend_bytes,
        "redis_cores": redis_cores,
        "redis_by_memory": ceil((redis_bytes + trend_bytes) / (assumed["redis_gb"] * 1e9)),
        "redis_by_cpu": ceil(redis_cores / assumed["redis_core"]),
        "log_bytes_per_s": log_bytes_per_s,
        "log_bytes": log_bytes,
        "broker_cores": broker_cores,
        "brokers": max(
            assumed["replication"],
            ceil(log_bytes_per_s / (assumed["broker_mb_s"] * 1e6)),
            ceil(log_bytes / (assumed["broker_disk_tb"] * 1e12)),
            ceil(broker_cores / (assumed["broker_cores"] * used)),
        ),
    }


def number(value: float) -> str:
    """Return three digits below 100, whole numbers above."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(value: float) -> str:
    """Return bytes in the largest decimal unit that leaves at least 1."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{number(value)} {unit}"
        value /= 1000
    return f"{number(value)} PB"


_LINES: Final[Sequence[tuple[str, str, Callable[[float], str]]]] = (
    ("workers: CPU, cores", "worker_cores", number),
    ("workers: processes", "processes", number),
    ("workers: memory", "worker_bytes", size),
    ("`reviews`: partitions", "partitions", number),
    ("Redis: memory, without replicas", "redis_bytes", size),
    ("Redis: memory for the apps' trends", "trend_bytes", size),
    ("Redis: CPU, cores", "redis_cores", number),
    ("Redis: servers by memory", "redis_by_memory", number),
    ("Redis: servers by CPU", "redis_by_cpu", number),
    ("Kafka: log written a second, with copies", "log_bytes_per_s", size),
    ("Kafka: disk, with copies", "log_bytes", size),
    ("Kafka: CPU, with copies, cores", "broker_cores", number),
    ("Kafka: brokers", "brokers", number),
)


def page(results: Path, assumed: Values) -> str:
    """Return the table, the figures it rests on and the assumptions, as Markdown.

    Raises:
        ValueError: results.json has no such row or figure, or is no JSON.
        OSError: it cannot be read.
    """
    bench = json.loads(results.read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in bench["rows"]}
    for name in ROWS.values():
        missing = [figure for figure in FIGURES if not rows.get(name, {}).get(figure)]
        if missing:
            raise ValueError(f"row `{name}` of {results.name} has no {', '.join(missing)}: run `make bench`")
    columns = {
        f"{at}, {client}": needs(rate, rows[row], assumed) for at, rate in RATES.items() for client, row in ROWS.items()
    }
    grid = [["reviews", *columns]]
    grid += [[title, *(show(column[key]) for column in columns.values())] for title, key, show in _LINES]
    machine = f"{bench['machine']['cpu']}, {bench['machine']['cores']} cores"
    lines = [
        f"Written by `python -m tests.benchmarks.sizing --write` from `make bench`, {bench['measured_at']}, {machine}.",
        "",
        *markdown_table(grid),
        "",
        "Measured, one process, exactly-once:",
        "",
        *(f"- {client}: {', '.join(f'{key} {rows[row][key]:,g}' for key in FIGURES)}" for client, row in ROWS.items()),
        "",
        "Assumed:",
        "",
        *(
            f"- `{name}` {assumed[name]:,g}{' ' * bool(unit)}{unit}: {reason}"
            for name, (_, unit, reason) in ASSUMED.items()
        ),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, write it when asked to, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sizing", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into deploy/README.md")
    parser.add_argument("--results", type=Path, default=JSON, metavar="FILE", help="results.json of `make bench`")
    for name, (value, unit, reason) in ASSUMED.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=float, default=value, metavar="X", help=f"{value:g} {unit}: {reason}")
    parsed = parser.parse_args(arguments)
    try:
        table = page(parsed.results, {name: getattr(parsed, name) for name in ASSUMED})
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sizing: {error}\n")
        return 2
    sys.stdout.write(table + "\n")
    if parsed.write:
        README.write_text(spliced(README.read_text(encoding="utf-8"), table, BEGIN, END), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
