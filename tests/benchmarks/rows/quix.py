"""Quix Streams, as its documentation shows: a StreamingDataFrame, `apply`, `to_topic`, and a batching sink for Redis.

The bundle is called once a review at the review's own length through `schemas.inference`, which is kinder than padding.
A checkpoint is as large as the worker's (`commit_every`), and its sink writes one pipeline a partition.
"""

from __future__ import annotations

from typing import Any

import redis
from quixstreams import Application, message_context  # type: ignore[import-not-found, unused-ignore]
from quixstreams.sinks import BatchingSink  # type: ignore[import-not-found, unused-ignore]

from .job import TTL_S, hash_of, key_of, rating, read_job, read_model, with_source


class RedisHashes(BatchingSink):  # type: ignore[misc, unused-ignore]
    """Writes each checkpoint's ratings as hashes."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._store = redis.Redis.from_url(url)

    def write(self, batch: Any) -> None:
        pipeline = self._store.pipeline(transaction=False)
        for item in batch:
            pipeline.hset(key_of(item.value), mapping=hash_of(item.value))  # type: ignore[arg-type, unused-ignore]
            pipeline.expire(key_of(item.value), TTL_S)
        pipeline.execute()


def main() -> None:
    job = read_job()
    bundle, model = read_model(job)
    application = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once" if job.exactly_once else "at-least-once",
        commit_every=job.checkpoint,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    reviews = application.topic(job.input_topic, value_deserializer="json")
    ratings = application.topic(job.output_topic, key_serializer="str", value_serializer="json")

    def rate(review: dict[str, Any]) -> dict[str, Any]:
        at = message_context()
        found = rating(review, model.score([review["text"]]).probabilities[0], bundle)
        return with_source(found, at.topic, at.partition, at.offset)

    frame = application.dataframe(reviews)
    frame = frame.apply(rate)
    frame = frame.to_topic(ratings, key=lambda value: value["review_id"])
    frame.sink(RedisHashes(job.redis_url))
    application.run()


if __name__ == "__main__":
    main()
