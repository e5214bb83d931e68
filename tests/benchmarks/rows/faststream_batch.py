"""FastStream on aiokafka with its documented batches: up to a checkpoint's reviews a call, acknowledged at once.

The whole batch goes through `schemas.inference` at once, grouped as the worker groups it. At-least-once only.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import redis.asyncio
from faststream import AckPolicy, FastStream  # type: ignore[import-not-found, unused-ignore]  # its own environment
from faststream.kafka import KafkaBroker, KafkaMessage  # type: ignore[import-not-found, unused-ignore]

from .job import TTL_S, hash_of, key_of, rating, read_job, read_model, with_source


def main() -> None:
    job = read_job()
    bundle, model = read_model(job)
    store = redis.asyncio.Redis.from_url(job.redis_url)
    # Its line a message goes to DEBUG, which is not written; its errors are.
    broker = KafkaBroker(job.bootstrap, logger=logging.getLogger("faststream"), log_level=logging.DEBUG)
    publisher = broker.publisher(job.output_topic)

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
        # All in flight: its `publish_batch` holds one batch of 16 KiB, about 35 ratings, and refuses the rest.
        await asyncio.gather(*(publisher.publish(value, key=value["review_id"].encode()) for value in values))

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
