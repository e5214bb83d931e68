"""An open-loop producer that watches its reviews come out: latency from the moment each was meant to be sent.

The schedule is drawn beforehand and never waits for an answer, so a program that stalls is charged for every review
that was due meanwhile (no coordinated omission). Three threads: the schedule, a `read_committed` reader of the output
topic, and a reader of Redis's keyspace events. All reviews are timed on the topic, every `probe_every`-th in Redis:
its events would cost more than the program under test otherwise.

`python -m benchmarks.rows.load '<spec as JSON>'` prints one JSON object with the latencies in milliseconds.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle, islice

import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from ..arithmetic import quantile
from ..corpus import read_corpus, review

_SWITCH_S = 0.0005  # Python's 5 ms between threads would be measured as latency
_PATIENCE_S = 30.0
_AT_ONCE = 10_000  # records the reader takes at a time, at most
_TICK_S = 0.001  # the schedule is looked at no more often: a wake-up a review would cost the program its second core
_PROBE, _OTHER = "p", "o"


@dataclass(frozen=True, slots=True)
class Spec:
    """What to send, and where it comes out. `rate` is in reviews a second; `jitter` spreads the gaps evenly instead of
    as Poisson arrivals; the first `warm_up` reviews are sent and not counted; `linger_ms` is the producer's.
    """

    bootstrap: str
    redis_url: str
    input_topic: str
    output_topic: str
    partitions: int
    rate: float
    reviews: int
    warm_up: int
    probe_every: int
    jitter: bool
    linger_ms: int


@dataclass(slots=True)
class Seen:
    """When each review was due, sent, readable on the topic and in Redis; monotonic seconds, by its number."""

    due: dict[int, float] = field(default_factory=dict)
    sent: dict[int, float] = field(default_factory=dict)
    topic: dict[int, float] = field(default_factory=dict)
    redis: dict[int, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)


def main() -> None:
    sys.setswitchinterval(_SWITCH_S)
    spec = Spec(**json.loads(sys.argv[1]))
    seen = Seen()
    ready = [threading.Event(), threading.Event()]
    readers = [
        threading.Thread(target=_read_topic, args=(spec, seen, ready[0]), daemon=True),
        threading.Thread(target=_read_redis, args=(spec, seen, ready[1]), daemon=True),
    ]
    for reader, event in zip(readers, ready, strict=True):
        reader.start()
        event.wait(_PATIENCE_S)
    _send(spec, seen)
    probes = sum(number % spec.probe_every == 0 for number in range(spec.reviews))
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and (len(seen.topic) < spec.reviews or len(seen.redis) < probes):
        time.sleep(0.05)
    seen.stop.set()
    for reader in readers:
        reader.join(_PATIENCE_S)
    print(json.dumps(_figures(spec, seen, probes)))


def schedule(rate: float, reviews: int, *, jitter: bool, seed: int = 0) -> list[float]:
    """Return when each review is due, in seconds from the start."""
    draw = random.Random(seed)  # noqa: S311  (a schedule that is the same for every program)
    at, due = 0.0, []
    for _ in range(reviews):
        at += draw.uniform(0.5, 1.5) / rate if jitter else draw.expovariate(rate)
        due.append(at)
    return due


def _send(spec: Spec, seen: Seen) -> None:
    producer = Producer({"bootstrap.servers": spec.bootstrap, "linger.ms": spec.linger_ms, "acks": "all"})
    producer.list_topics(spec.input_topic, timeout=10)
    texts = islice(cycle(read_corpus().texts), spec.reviews)
    records = [
        review(f"{_OTHER if number % spec.probe_every else _PROBE}{number:08d}", text, number)
        for number, text in enumerate(texts)
    ]
    started = time.monotonic() + 0.2
    seen.due.update(enumerate(started + at for at in schedule(spec.rate, spec.reviews, jitter=spec.jitter)))
    for number, (key, value) in enumerate(records):
        while (wait_s := seen.due[number] - time.monotonic()) > 0:
            producer.poll(0)
            time.sleep(min(max(wait_s, _TICK_S), 0.05))
        producer.produce(spec.input_topic, value, key)
        seen.sent[number] = time.monotonic()
    producer.flush()


def _read_topic(spec: Spec, seen: Seen, ready: threading.Event) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": spec.bootstrap,
            "group.id": f"reader-of-{spec.output_topic}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    at = [TopicPartition(spec.output_topic, partition) for partition in range(spec.partitions)]
    for partition in at:
        partition.offset = consumer.get_watermark_offsets(partition, timeout=10)[1]
    consumer.assign(at)
    consumer.poll(1.0)
    ready.set()
    while not seen.stop.is_set():
        record = consumer.poll(0.2)
        if record is None:
            continue
        at_once = [record, *consumer.consume(_AT_ONCE, 0)]  # what is there: a wake-up a record would cost a core
        now = time.monotonic()
        for key in [record.key() for record in at_once if record.error() is None]:
            if key is not None:
                seen.topic.setdefault(int(key[1:]), now)
    consumer.close()


def _read_redis(spec: Spec, seen: Seen, ready: threading.Event) -> None:
    with redis.Redis.from_url(spec.redis_url) as client:
        events = client.pubsub(ignore_subscribe_messages=True)
        events.psubscribe(f"__keyspace@0__:rating:{{{_PROBE}*}}")
        events.get_message(timeout=1.0)
        ready.set()
        while not seen.stop.is_set():
            message = events.get_message(timeout=0.2)
            if message is not None and message["data"] in {b"hset", b"set"}:
                name = message["channel"].rpartition(b"{")[2]
                seen.redis.setdefault(int(name[1:-1]), time.monotonic())
        events.close()


def _figures(spec: Spec, seen: Seen, probes: int) -> dict[str, float]:
    counted = range(spec.warm_up, spec.reviews)
    late = [(seen.sent[number] - seen.due[number]) * 1000 for number in counted]
    figures = {
        "watching_cpu_us_per_review": time.process_time() / spec.reviews * 1e6,
        "missing": float(spec.reviews - len(seen.topic) + probes - len(seen.redis)),
        "sent_late_p99_ms": quantile(late, 0.99),
    }
    for place, when in (("topic", seen.topic), ("redis", seen.redis)):
        found = [(when[number] - seen.due[number]) * 1000 for number in counted if number in when]
        for share in (0.5, 0.99) if found else ():
            figures[f"{place}_p{share * 100:.0f}_ms"] = quantile(found, share)
    return figures


if __name__ == "__main__":
    main()
