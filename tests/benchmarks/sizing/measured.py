"""What is measured for the sizing: figures of `make bench`, and bytes of reviews and ratings.

Owns the shapes, and the reading of results.json. `records` and `memory` measure the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CLIENTS: Final = {"kafka-python": "worker", "confluent-kafka": "worker_confluent"}  # client -> row
_FIGURES: Final = (
    "reviews_per_s",
    "cpu_us_per_review",
    "broker_cpu_us_per_review",
    "redis_cpu_us_per_review",
    "rss_mb",
    "idle_topic_p50_ms",
)


class SizingError(RuntimeError):
    """Something the table needs was not measured; the message says how to."""


@dataclass(frozen=True, slots=True)
class ClientFigures:
    """One process of the worker, exactly-once, on one Kafka client: medians of `make bench`."""

    reviews_per_s: float
    cpu_us: float
    broker_us: float
    redis_us: float
    rss_mb: float
    idle_ms: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What was read from results.json, and what it says of itself."""

    clients: Mapping[str, ClientFigures]
    measured_at: str
    machine: str


@dataclass(frozen=True, slots=True)
class RecordSizes:
    """Means over so many reviews, in bytes: values, and records with key and headers but no share of a batch."""

    corpus: str
    reviews: int
    review_value: float
    review_record: float
    rating_value: float
    rating_record: float


@dataclass(frozen=True, slots=True)
class RedisCost:
    """A rating in Redis: what it occupies, and microseconds of CPU to write it, the server's and the worker's."""

    bytes_per_rating: float
    server_us: float
    client_us: float


@dataclass(frozen=True, slots=True)
class RedisCosts:
    """The same on one server (256 ratings a call, summaries) and on a Redis Cluster (a rating a call, no summaries)."""

    version: str
    ratings: int
    single: RedisCost
    cluster: RedisCost


def read_bench(path: Path) -> Bench:
    """Read the rows the sizing needs.

    Raises:
        SizingError: there is no such file, or a row or a figure is missing.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SizingError(f"{path.name} is not there: run `make bench` first, it writes it") from None
    except (OSError, ValueError) as error:
        raise SizingError(f"{path.name} can not be read ({error}): run `make bench` again") from error
    rows = {row["name"]: row for row in found.get("rows", [])}
    clients = {client: _figures(path.name, rows.get(row), row) for client, row in CLIENTS.items()}
    machine = found.get("machine", {})
    return Bench(
        clients,
        str(found.get("measured_at", "at an unknown time")),
        f"{machine.get('cpu', 'an unknown CPU')}, {machine.get('cores', '?')} cores",
    )


def _figures(file: str, row: Mapping[str, Any] | None, name: str) -> ClientFigures:
    how = f"run `python -m tests.benchmarks --write`, which must have the row `{name}`"
    if row is None:
        raise SizingError(f"{file} has no row `{name}`: {how}")
    if "failed" in row:
        raise SizingError(f"{file}: the row `{name}` failed ({str(row['failed']).partition(chr(10))[0]}): {how}")
    missing = [figure for figure in _FIGURES if not isinstance(row.get(figure), int | float) or row[figure] <= 0]
    if missing:
        raise SizingError(f"{file}: the row `{name}` has no {', '.join(missing)}: {how}")
    return ClientFigures(*(float(row[figure]) for figure in _FIGURES))
