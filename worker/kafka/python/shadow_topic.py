"""What runs beside the stream has clients of its own: the shadow topic, the feedback topic, and look-ups of ratings.

Owns three small adapters. None of them is part of a transaction, and none can hold up or fail a batch: the shadow's
ratings wait in a bounded queue that drops what does not fit, and feedback is read on its own thread.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import redis
from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors

from schemas.rating import CONTENT_TYPE, rating_key
from worker.backoff import Backoff
from worker.errors import ServiceError, TransientError
from worker.kafka.outgoing import close_failed, producer_config
from worker.kafka.python.client import client_config, connecting, make_client, translated
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Rated
from worker.redis.store import translated as redis_translated
from worker.settings import WorkerSettings

_QUEUE_BATCHES: Final = 64
_FIELDS: Final = ("model_version", "rating")


class ShadowTopic:
    """Publishes the candidate's ratings from a thread of its own, best effort: at most once.

    Args:
        settings: brokers and the topic.
        topic: where to.
        metrics: what was dropped or failed is counted here.
        log: and told here, once for each outage.
    """

    def __init__(self, settings: WorkerSettings, topic: str, metrics: Metrics, log: Log) -> None:
        self._settings = settings
        self._topic = topic
        self._errors = metrics.models.shadow_errors
        self._log = log
        self._queue: queue.Queue[Sequence[Rated]] = queue.Queue(_QUEUE_BATCHES)
        self._producer: KafkaProducer | None = None

    def publish(self, ratings: Sequence[Rated]) -> None:
        """Take ratings to publish; drops them when too many wait already. Never blocks or raises."""
        try:
            self._queue.put_nowait(ratings)
        except queue.Full:
            self._errors.labels("dropped").inc(len(ratings))

    def start(self, stop: threading.Event) -> None:
        """Publish from a daemon thread until `stop`."""
        threading.Thread(target=self._run, args=(stop,), name="shadow-topic", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                ratings = self._queue.get(timeout=0.5)
            except queue.Empty:
                continue
            try:
                self._send(ratings)
                backoff.reset()
            except Exception as error:  # noqa: BLE001  (a thread that dies is silence)
                self._errors.labels("topic").inc(len(ratings))
                self._log(logging.WARNING, "shadow_topic_failed", reason=str(error), dropped=len(ratings))
                producer, self._producer = self._producer, None
                if producer is not None:
                    close_failed(producer)
                stop.wait(backoff.next_s())

    def _send(self, ratings: Sequence[Rated]) -> None:
        with translated(f"WORKER_SHADOW_TOPIC={self._topic}"):
            if self._producer is None:
                self._producer = make_client(KafkaProducer, producer_config(self._settings))
            headers = [("content-type", CONTENT_TYPE)]
            sent = [
                self._producer.send(self._topic, each.value, each.rating.review_id.encode(), headers=headers)
                for each in ratings
            ]
            self._producer.flush(timeout=self._settings.request_timeout_s)
            for future in sent:
                if future.exception is not None:
                    raise future.exception


class FeedbackTopic:
    """The values of a topic, read by a group of its own; what a crash hits is read again."""

    def __init__(self, settings: WorkerSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer: Any = None
        self._given = False  # whether the call before gave records, which are counted by now

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        """Return the values of new records, and commit those of the call before.

        Raises:
            ServiceError: the client gave up; it connects again at the next call.
        """
        try:
            with translated(f"WORKER_FEEDBACK_TOPIC={self._topic}: {connecting(self._settings)}"):
                if self._consumer is None:
                    self._consumer = self._connected()
                elif self._given:
                    self._consumer.commit(timeout_ms=round(self._settings.request_timeout_s * 1000))
                found = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=most)
        except ServiceError:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                with translated("close"):
                    consumer.close(autocommit=False, timeout_ms=1000)
            raise
        values = [record.value for records in found.values() for record in records]
        self._given = bool(values)
        return values

    def _connected(self) -> Any:
        config = {
            **client_config(self._settings),
            "group_id": f"{self._settings.group_id}-feedback",
            "auto_offset_reset": self._settings.auto_offset_reset,
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "isolation_level": "read_committed",
            "session_timeout_ms": round(self._settings.session_timeout_s * 1000),
            "heartbeat_interval_ms": round(self._settings.session_timeout_s * 1000 / 5),
            "max_poll_interval_ms": round(self._settings.max_poll_interval_s * 1000),
            "metadata_max_age_ms": 10_000,
        }
        self._given = False
        consumer = make_client(KafkaConsumer, config)
        if not _exists(consumer, self._topic):
            consumer.close(autocommit=False, timeout_ms=1000)
            raise TransientError("kafka", f"WORKER_FEEDBACK_TOPIC={self._topic}: no such topic; create it")
        consumer.subscribe([self._topic])
        return consumer


def _exists(consumer: Any, topic: str) -> bool:
    try:
        return bool(consumer.partitions_for_topic(topic))
    except kafka_errors.UnknownTopicOrPartitionError:
        return False


class RatingsInRedis:
    """Looks up what a review was rated, and by which version."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._prefix = settings.redis_prefix
        options: dict[str, Any] = {
            "socket_timeout": settings.redis_timeout_s,
            "socket_connect_timeout": settings.redis_timeout_s,
            "decode_responses": True,
        }
        url = settings.redis_url.get_secret_value()
        kind = redis.RedisCluster if settings.redis_cluster else redis.Redis
        with redis_translated("WORKER_REDIS_URL"):
            self._client: Any = kind.from_url(url, **options)

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return the version and stars of each id that is there.

        Raises:
            ServiceError: Redis is away.
        """
        unique = list(dict.fromkeys(review_ids))
        with redis_translated("look up ratings"):
            pipeline = self._client.pipeline(transaction=False)
            for review_id in unique:
                pipeline.hmget(rating_key(review_id, prefix=self._prefix), _FIELDS)
            found = pipeline.execute()
        return {
            review_id: (version, int(rating))
            for review_id, (version, rating) in zip(unique, found, strict=True)
            if version and rating and rating.lstrip("-").isdigit()  # anybody can write to Redis
        }
