"""FastStream on aiokafka, as its documentation shows: a subscriber, a publisher, acknowledged after each review.

At-least-once only: it offers no transactions. The bundle is called once a review at the review's own length.
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

    async def rate(review: dict[str, Any], message: KafkaMessage) -> None:
        found = rating(review, model.score([review["text"]]).probabilities[0], bundle)
        record = message.raw_message
        value = with_source(found, record.topic, record.partition, record.offset)
        pipeline = store.pipeline(transaction=False)
        pipeline.hset(key_of(value), mapping=hash_of(value))  # type: ignore[arg-type, unused-ignore]
        pipeline.expire(key_of(value), TTL_S)
        await pipeline.execute()
        await publisher.publish(value, key=value["review_id"].encode())

    broker.subscriber(
        job.input_topic,
        group_id=job.group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )(rate)
    asyncio.run(FastStream(broker, logger=None).run())


if __name__ == "__main__":
    main()
