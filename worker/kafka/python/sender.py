"""Sends single records and waits for all of them: dead letters sent back, and a shadow model's ratings.

Owns its producer. The stream's own batches go through `producer`.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer

from worker.kafka.connection import connection_hint
from worker.kafka.outgoing import Outgoing
from worker.kafka.python.client import make_client, translated
from worker.kafka.python.producer import close_failed, producer_config
from worker.settings import WorkerSettings


class Sender:
    """An idempotent producer, acknowledged by all replicas.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._timeout_s = settings.request_timeout_s
        self._in_flight: list[tuple[str, Any]] = []
        with translated(connection_hint(settings)):
            self._producer: Any = make_client(KafkaProducer, producer_config(settings))

    def send(self, record: Outgoing, doing: str, partition: int | None = None) -> None:
        """Send a record without waiting; its key chooses the partition when none is given, and errors call it `doing`.

        Raises:
            ServiceError: the client does not take it.
        """
        with translated(doing):
            future = self._producer.send(
                record.topic, record.value, record.key, record.headers, partition, record.timestamp_ms
            )
        self._in_flight.append((doing, future))

    def flush(self) -> None:
        """Wait until the brokers have acknowledged every record.

        Raises:
            ServiceError: they have not; it names the first record that may be missing.
        """
        if self._in_flight:
            with translated(self._in_flight[0][0]):
                self._producer.flush(timeout=self._timeout_s)
        for doing, future in self._in_flight:
            if future.exception is not None:
                with translated(doing):
                    raise future.exception
        self._in_flight.clear()

    def close(self) -> None:
        """Close the producer; records in flight get two seconds."""
        close_failed(self._producer)
