"""The tutorials' way: one record at a time, NLTK's tokenizer, Keras `model.predict`, HSET, send, commit every 100.

The GRU has the bundle's sizes and random weights: a bundle carries no Keras model, and the speed is the same.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import redis
from kafka import KafkaConsumer, KafkaProducer

from schemas.bundle import read_bundle

from .job import PADDED_TOKENS, TTL_S, hash_of, key_of, rating, read_job, with_source


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from nltk.tokenize import TweetTokenizer

    job = read_job()
    bundle = read_bundle(Path(job.bundle))
    settings = bundle.manifest.training["settings"]
    gru = keras.layers.GRU(settings["units"])
    model = keras.Sequential(
        [
            keras.layers.Input((PADDED_TOKENS,)),
            keras.layers.Embedding(max(bundle.table.values()) + 1, settings["embedding"], mask_zero=True),
            keras.layers.Bidirectional(gru) if settings["bidirectional"] else gru,
            keras.layers.Dense(len(bundle.manifest.decision.labels), activation="softmax"),
        ]
    )
    model.predict(np.zeros((1, PADDED_TOKENS), dtype=np.int32), verbose=0)  # traced before the clock starts
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
        ids = [bundle.table.get(token, 1) for token in tokenizer.tokenize(review["text"].lower())]
        padded = keras.utils.pad_sequences([ids], maxlen=PADDED_TOKENS, padding="post", truncating="post")
        found = rating(review, model.predict(padded, verbose=0)[0], bundle)
        value = with_source(found, record.topic, record.partition, record.offset)
        store.hset(key_of(value), mapping=hash_of(value))  # type: ignore[arg-type]  # redis-py's mapping is invariant
        store.expire(key_of(value), TTL_S)
        producer.send(job.output_topic, key=value["review_id"].encode(), value=json.dumps(value).encode())
        if count % 100 == 0:
            producer.flush()
            consumer.commit()


if __name__ == "__main__":
    main()
