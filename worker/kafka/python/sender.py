"""Sends single records and waits for all of them: dead letters sent back, and a shadow model's ratings.

Owns its producer. The stream's own batches go through `producer`. A record that the brokers refuse stops no other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kafka import KafkaProducer

from worker.errors import RefusedError
from worker.kafka.connection import connection_hint
from worker.kafka.outgoing import Outgoing
from worker.kafka.python.client import make_client, translated
from worker.kafka.python.producer import REFUSALS, close_failed, producer_config
from worker.settings import WorkerSettings


class _Sent(NamedTuple):
    record: Outgoing
    doing: str
    partition: int | None
    future: Any


class Sender:
    """An idempotent producer, acknowledged by all replicas.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._in_flight: list[_Sent] = []
        self._producer = self._connected()

    def send(self, record: Outgoing, doing: str, partition: int | None = None) -> None:
        """Send a record without waiting; its key chooses the partition when none is given, and errors call it `doing`.

        Raises:
            ServiceError: the client does not take it.
        """
        with translated(doing):
            future = self._producer.send(
                record.topic, record.value, record.key, record.headers, partition, record.timestamp_ms
            )
        self._in_flight.append(_Sent(record, doing, partition, future))

    def flush(self) -> None:
        """Wait until the brokers have acknowledged every record.

        Raises:
            RefusedError: they refuse some as they are, which it names; they have all others.
            ServiceError: they have not; it names the first record that may be missing.
        """
        failed = self._failed()
        if failed and not any(type(sent.future.exception) in REFUSALS for sent in failed):
            _raise(failed[0])
        refused: list[_Sent] = []
        for suspect in failed:  # a refused record fails those sent with it, and the client's producer
            close_failed(self._producer)
            self._producer = self._connected()
            self.send(*suspect[:3])
            for sent in self._failed():
                if type(sent.future.exception) not in REFUSALS:
                    _raise(sent)
                refused.append(sent)
        if refused:
            error, records = refused[0].future.exception, [sent.record for sent in refused]
            raise RefusedError(REFUSALS[type(error)], records, f"{records[0].topic}: {error}")

    def close(self) -> None:
        """Close the producer; records in flight get two seconds."""
        close_failed(self._producer)

    def _failed(self) -> list[_Sent]:
        """Wait for the records in flight, and return those that are not stored."""
        if self._in_flight:
            with translated(self._in_flight[0].doing):
                self._producer.flush(timeout=self._settings.request_timeout_s)
        failed = [sent for sent in self._in_flight if sent.future.exception is not None]
        self._in_flight.clear()
        return failed

    def _connected(self) -> Any:
        with translated(connection_hint(self._settings)):
            return make_client(KafkaProducer, producer_config(self._settings))


def _raise(sent: _Sent) -> None:
    with translated(sent.doing):
        raise sent.future.exception
