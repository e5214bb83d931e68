"""One record at a time with the bundle's graph: NLTK's tokenizer, one Invoke padded to 100, HSET, commit every 100."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import redis
from ai_edge_litert.interpreter import Interpreter
from kafka import KafkaConsumer, KafkaProducer

from schemas.bundle import read_bundle

from .job import PADDED_TOKENS, TTL_S, hash_of, key_of, rating, read_job, with_source


def main() -> None:
    from nltk.tokenize import TweetTokenizer

    job = read_job()
    bundle = read_bundle(Path(job.bundle))
    interpreter = Interpreter(model_content=bundle.model, num_threads=1)
    read, write = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(read, (1, PADDED_TOKENS))
    interpreter.allocate_tensors()
    tokenizer = TweetTokenizer()
    store = redis.Redis.from_url(job.redis_url)
    producer = KafkaProducer(bootstrap_servers=job.bootstrap)
    consumer = KafkaConsumer(
        job.input_topic,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    for count, record in enumerate(consumer, start=1):
        review = json.loads(record.value)
        ids = [bundle.table.get(token, 1) for token in tokenizer.tokenize(review["text"].lower())][:PADDED_TOKENS]
        padded = np.zeros((1, PADDED_TOKENS), dtype=np.int32)
        padded[0, : max(len(ids), 1)] = ids or [1]
        interpreter.set_tensor(read, padded)
        interpreter.invoke()
        found = rating(review, bundle.manifest.decision.probabilities(interpreter.get_tensor(write))[0], bundle)
        value = with_source(found, record.topic, record.partition, record.offset)
        store.hset(key_of(value), mapping=hash_of(value))  # type: ignore[arg-type]  # redis-py's mapping is invariant
        store.expire(key_of(value), TTL_S)
        producer.send(job.output_topic, key=value["review_id"].encode(), value=json.dumps(value).encode())
        if count % 100 == 0:
            producer.flush()
            consumer.commit()


if __name__ == "__main__":
    main()
