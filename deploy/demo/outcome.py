"""What came of the demo's reviews, read back as a user would: from Redis, the output topics and /metrics.

Owns the reading and the arithmetic. Never trusts the worker's word for a count that can be read elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import redis
from kafka import KafkaConsumer
from prometheus_client.parser import text_string_to_metric_families

from deploy.demo.stack import Stack
from schemas.rating import Rating, rating_from_hash, rating_key


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of /metrics."""

    settled: Mapping[str, float]
    latency_buckets: Mapping[float, float]  # upper edge in seconds -> cumulative count

    def quantile_s(self, share: float) -> float:
        """Return a latency quantile in seconds, linear within its bucket, as Prometheus' histogram_quantile does."""
        wanted = share * max(self.latency_buckets.values(), default=0.0)
        below, below_count = 0.0, 0.0
        for edge, count in sorted(self.latency_buckets.items()):
            if count >= wanted and count > below_count:
                return below if edge == inf else below + (edge - below) * (wanted - below_count) / (count - below_count)
            below, below_count = edge, count
        return below


def scrape(stack: Stack) -> Scrape:
    """Read /metrics."""
    settled: dict[str, float] = {}
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(stack.fetch("/metrics")):
        for sample in family.samples:
            if sample.name == "starstream_reviews_settled_total":
                settled[sample.labels["outcome"]] = sample.value
            elif sample.name == "starstream_review_latency_seconds_bucket":
                buckets[float(sample.labels["le"])] = sample.value
    return Scrape(settled, buckets)


def ratings_in_redis(stack: Stack, review_ids: list[str]) -> dict[str, Rating]:
    """Return the ratings that Redis holds for these reviews."""
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        pipeline = client.pipeline(transaction=False)
        for review_id in review_ids:
            pipeline.hgetall(rating_key(review_id))
        found: list[dict[str, str]] = pipeline.execute()
    return {review_id: rating_from_hash(fields) for review_id, fields in zip(review_ids, found, strict=True) if fields}


def keys_on(stack: Stack, topic: str) -> list[str]:
    """Return the keys of all committed records of a topic."""
    return [record.key.decode() for record in _records(stack, topic) if record.key is not None]


def versions_by_key(stack: Stack, topic: str) -> dict[str, list[str]]:
    """Return, for each key of a topic of ratings, the versions of its committed ratings."""
    found: dict[str, list[str]] = {}
    for record in _records(stack, topic):
        found.setdefault(record.key.decode(), []).append(Rating.from_json(record.value).model_version)
    return found


def _records(stack: Stack, topic: str) -> list[Any]:
    options: dict[str, Any] = {"api_version": stack.api_version} if stack.api_version else {}
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=stack.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_uncommitted" if stack.api_version else "read_committed",
        consumer_timeout_ms=3000,
        **options,
    )
    try:
        return list(consumer)
    finally:
        consumer.close()
