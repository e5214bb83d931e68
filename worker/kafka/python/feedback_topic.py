"""Reads the feedback topic (WORKER_FEEDBACK_TOPIC), in a consumer group of its own.

Owns its consumer. The thread that polls it is `worker.model.feedback`'s; the stream's offsets and transactions are not
touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer

from worker.errors import ServiceError, TransientError
from worker.kafka.connection import connection_hint
from worker.kafka.python.client import client_config, make_client, topic_exists, translated
from worker.settings import WorkerSettings


class FeedbackTopic:
    """The values of a topic, read at least once by a consumer group of its own."""

    def __init__(self, settings: WorkerSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer: Any = None
        self._uncommitted = False  # whether the previous call returned records; the caller has counted them by the next

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        """Return the values of new records, and commit those that the previous call returned.

        Raises:
            ServiceError: the client gave up; the next call connects again.
        """
        try:
            with translated(f"WORKER_FEEDBACK_TOPIC={self._topic}: {connection_hint(self._settings)}"):
                if self._consumer is None:
                    self._consumer = self._connected()
                elif self._uncommitted:
                    self._consumer.commit(timeout_ms=round(self._settings.request_timeout_s * 1000))
                found = self._consumer.poll(timeout_ms=round(timeout_s * 1000), max_records=most)
        except ServiceError:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                with translated("close"):
                    consumer.close(autocommit=False, timeout_ms=1000)
            raise
        values = [record.value for records in found.values() for record in records]
        self._uncommitted = bool(values)
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
        self._uncommitted = False
        consumer = make_client(KafkaConsumer, config)
        if not topic_exists(consumer, self._topic):
            consumer.close(autocommit=False, timeout_ms=1000)
            raise TransientError("kafka", f"WORKER_FEEDBACK_TOPIC={self._topic}: no such topic; create it")
        consumer.subscribe([self._topic])
        return consumer
