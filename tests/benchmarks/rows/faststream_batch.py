"""FastStream on aiokafka with its documented batches: up to a checkpoint's reviews a call, acknowledged together.

The whole batch goes through `schemas.inference` at once, grouped as the worker groups it. At-least-once only.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import redis.asyncio
from faststream import AckPolicy, FastStream  # type: ignore[import-not-found, unused-ignore]  # its own environment
from faststream.kafka import (  # type: ignore[import-not-found, unused-ignore]
    KafkaBroker,
    KafkaMessage,
    KafkaPublishMessage,
)

from .job import TTL_S, hash_of, key_of, rating, read_job, read_model, with_source


def main() -> None:
    job = read_job()
    bundle, model = read_model(job)
    store = redis.asyncio.Redis.from_url(job.redis_url)
    broker = KafkaBroker(job.bootstrap, log_level=logging.WARNING, logger=None)
    publisher = broker.publisher(job.output_topic, batch=True)

    async def rate(reviews: list[dict[str, Any]], message: KafkaMessage) -> None:
        scores = model.score([review["text"] for review in reviews])
        values = [
            with_source(rating(review, shares, bundle), record.topic, record.partition, record.offset)
            for review, shares, record in zip(reviews, scores.probabilities, message.raw_message, strict=True)
        ]
        pipeline = store.pipeline(transaction=False)
        for value in values:
            pipeline.hset(key_of(value), mapping=hash_of(value))  # type: ignore[arg-type, unused-ignore]
            pipeline.expire(key_of(value), TTL_S)
        await pipeline.execute()
        await publisher.publish(*(KafkaPublishMessage(value, key=value["review_id"].encode()) for value in values))

    broker.subscriber(
        job.input_topic,
        batch=True,
        max_records=job.checkpoint,
        group_id=job.group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )(rate)
    asyncio.run(FastStream(broker, logger=None).run())


if __name__ == "__main__":
    main()
