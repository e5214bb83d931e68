"""The ceiling of the other client: confluent-kafka consumes and produces; all else as in `bare`."""

from __future__ import annotations

from typing import Any

import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from .bare import ready_made
from .job import TTL_S, read_job


def main() -> None:
    job = read_job()
    value = ready_made(job)
    store = redis.Redis.from_url(job.redis_url)
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([job.input_topic])
    transactional = (
        {"transactional.id": job.group, "transaction.timeout.ms": 15_000, "linger.ms": 1} if job.exactly_once else {}
    )
    producer = Producer(
        {
            "bootstrap.servers": job.bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 500,
            "queue.buffering.max.messages": 200_000,
            "retry.backoff.ms": 10,
            **transactional,
        }
    )
    if job.exactly_once:
        producer.init_transactions()
    while True:
        records = _gathered(consumer, job.checkpoint)
        if not records:
            continue
        membership = consumer.consumer_group_metadata()
        pipeline = store.pipeline(transaction=False)
        for record in records:
            pipeline.set(b"rating:{" + record.key() + b"}", value, ex=TTL_S)
        pipeline.execute()
        ends = {record.partition(): record.offset() + 1 for record in records}
        offsets = [TopicPartition(job.input_topic, partition, offset) for partition, offset in ends.items()]
        if job.exactly_once:
            producer.begin_transaction()
        for record in records:
            producer.produce(job.output_topic, value, record.key())
        if job.exactly_once:
            producer.send_offsets_to_transaction(offsets, membership)
            producer.commit_transaction()
        else:
            producer.flush()
            consumer.commit(offsets=offsets, asynchronous=False)


def _gathered(consumer: Any, most: int) -> list[Any]:
    """Return what is there, at most `most`; block for the first."""
    records = consumer.consume(most, 0) or consumer.consume(1, 0.5)
    if len(records) == 1 and most > 1:
        records += consumer.consume(most - 1, 0)
    return [record for record in records if record.error() is None]


if __name__ == "__main__":
    main()
