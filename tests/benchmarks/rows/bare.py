"""The ceiling of the client: kafka-python consumes, Redis stores, kafka-python produces and commits; nothing is read.

No parse and no model: each record gets the same ready-made rating. Redis takes it as the cheapest command with a TTL,
one pipelined `SET key value EX` of the same bytes. Options of the clients are the worker's.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import redis
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from .job import TTL_S, Job, rating, read_job, read_model, with_source


def main() -> None:
    job = read_job()
    value = ready_made(job)
    store = redis.Redis.from_url(job.redis_url)
    consumer = KafkaConsumer(
        job.input_topic,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    producer = KafkaProducer(
        bootstrap_servers=job.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=1000,
        batch_size=64 * 1024,
        retry_backoff_ms=10,
        **({"transactional_id": job.group, "transaction_timeout_ms": 15_000} if job.exactly_once else {}),
    )
    if job.exactly_once:
        producer.init_transactions()
    while True:
        records = _gathered(consumer, job.checkpoint)
        if not records:
            continue
        membership = consumer.group_metadata()
        pipeline = store.pipeline(transaction=False)
        for record in records:
            pipeline.set(b"rating:{" + record.key + b"}", value, ex=TTL_S)
        pipeline.execute()
        offsets = {TopicPartition(at.topic, at.partition): OffsetAndMetadata(at.offset + 1, "", -1) for at in records}
        if job.exactly_once:
            producer.begin_transaction()
        for record in records:
            producer.send(job.output_topic, value, record.key)
        producer.flush()
        if job.exactly_once:
            producer.send_offsets_to_transaction(offsets, membership)
            producer.commit_transaction()
        else:
            consumer.commit(offsets)


def _gathered(consumer: Any, most: int) -> list[Any]:
    """Return what is there, at most `most`; block for the first."""
    records: list[Any] = []
    wait_ms = 500
    while len(records) < most:
        fetched = consumer.poll(timeout_ms=wait_ms, max_records=most - len(records))
        if not fetched:
            break
        for some in fetched.values():
            records += some
        wait_ms = 0
    return records


def ready_made(job: Job) -> bytes:
    """Return the value of a rating of the usual size."""
    bundle, _ = read_model(job)
    labels = len(bundle.manifest.decision.labels)
    shares = np.full(labels, 0.123456, dtype=np.float32)
    review = {"review_id": "r" * 12, "app_id": "a" * 5}
    value = with_source(rating(review, shares, bundle), job.input_topic, 0, 123456)
    return json.dumps(value, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
