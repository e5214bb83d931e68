"""The demo's results, read back as a user would: from Redis, the output topics and /metrics.

Owns the reading and the arithmetic. A count that can be read elsewhere is not taken from the worker's metrics alone.
"""

from __future__ import annotations

import time
from math import inf
from typing import Any, Final

import redis
from kafka import KafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy.demo.stack import Stack
from schemas.output.rating_hash import rating_from_hash
from schemas.rating import Rating, rating_key

_QUIET_S: Final = 3.0


class Scrape:
    """One reading of the worker's /metrics."""

    def __init__(self, stack: Stack) -> None:
        families = text_string_to_metric_families(stack.fetch("/metrics"))
        self._samples = [sample for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series with these labels."""
        matching = (sample for sample in self._samples if sample.name == name)
        return sum(sample.value for sample in matching if labels.items() <= sample.labels.items())

    @property
    def settled(self) -> int:
        """How many records were rated, dead-lettered or deleted."""
        return round(self.total("starstream_reviews_settled_total"))

    def latency_s(self, share: float) -> float:
        """Return a latency quantile in seconds, linear within its bucket, as Prometheus' histogram_quantile does."""
        name = "starstream_review_latency_seconds_bucket"
        buckets = sorted((float(sample.labels["le"]), sample.value) for sample in self._samples if sample.name == name)
        wanted = share * max((count for _, count in buckets), default=0.0)
        below, below_count = 0.0, 0.0
        for edge, count in buckets:
            if count >= wanted and count > below_count:
                return below if edge == inf else below + (edge - below) * (wanted - below_count) / (count - below_count)
            below, below_count = edge, count
        return below


def ratings_in_redis(stack: Stack, review_ids: list[str]) -> dict[str, Rating]:
    """Return the ratings that Redis holds for these reviews."""
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        pipeline = client.pipeline(transaction=False)
        for review_id in review_ids:
            pipeline.hgetall(rating_key(review_id))
        found: list[dict[str, str]] = pipeline.execute()
    return {key: rating_from_hash(fields, key) for key, fields in zip(review_ids, found, strict=True) if fields}


def committed(stack: Stack, topic: str) -> list[Any]:
    """Return all records of a topic that are committed by now."""
    consumer = KafkaConsumer(
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_uncommitted" if stack.api_version else "read_committed",
        **stack.client_options,
    )
    try:
        consumer.bootstrap()  # before it is asked, or that is lost: see deploy/kafka/embedded.py
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        quiet_at = time.monotonic() + _QUIET_S
        # The position after a marker at the end moves with the next answer, so silence ends it too.
        while any(consumer.position(at) < end for at, end in ends.items()) and time.monotonic() < quiet_at:
            records = [record for some in consumer.poll(timeout_ms=200).values() for record in some]
            if records:
                found += records
                quiet_at = time.monotonic() + _QUIET_S
        return found
    finally:
        consumer.close()
