"""Exactly-once delivery: outcomes and offsets in one Kafka transaction (KIP-98, KIP-447).

Owns the transactional producer's life. The rules that make it hold were found by breaking it (worker/README.md):
commit with the membership that was true when the records were polled, and after any failure throw the producer away,
because an aborted one keeps the failed transaction's offsets and would commit them with its next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from worker.errors import ServiceError
from worker.kafka.connection import connecting
from worker.kafka.outgoing import await_acknowledged, close_failed, explained, producer_config, publish, require_topics
from worker.kafka.python.client import make_client, translated
from worker.kafka.python.record_batch import WholesaleProducer
from worker.ops.logs import Log
from worker.records import Outcome, Partition
from worker.settings import WorkerSettings
from worker.stream.ports import nothing

_ABORT_MS: Final = 1000


class Membership(Protocol):
    """What exactly-once delivery asks of the consumer."""

    def membership(self) -> Any:
        """Return the group membership under which the last records were polled.

        Raises:
            ServiceError: this worker was no member then.
        """
        ...


class BoundedProducer(WholesaleProducer):
    """The client's producer, but no step of a transaction is waited for longer than `max_block_ms`.

    The client's own two steps take no time-out, and do wait for ever where the broker that coordinates the group
    crashed and another took over (chaos: `coordinator_moves`).
    """

    def begin_offsets(self, offsets: Mapping[Any, Any], group_metadata: Any) -> Callable[[], None]:
        """Put offsets into the transaction; call what is returned to wait until they are.

        That raises KafkaTimeoutError where no answer comes in time; nobody knows then what became of it.
        """
        result = self._transaction_manager.send_offsets_to_transaction(offsets, group_metadata)
        self._sender.wakeup()
        return partial(self._wait, result, "send the offsets")

    def commit_transaction(self) -> None:
        """End the transaction.

        Raises:
            KafkaTimeoutError: no answer in time; nobody knows whether it was committed.
        """
        self._wait(self._transaction_manager.begin_commit(), "commit")

    def abort_transaction(self) -> None:
        """End the transaction without effect.

        Raises:
            KafkaTimeoutError: no answer in time; the brokers do it themselves, later.
        """
        self._wait(self._transaction_manager.begin_abort(), "abort", _ABORT_MS)

    def _wait(self, result: Any, doing: str, most_ms: int | None = None) -> None:
        most_ms = most_ms or self.config["max_block_ms"]
        self._sender.wakeup()
        if not result.wait(timeout_ms=most_ms):
            raise kafka_errors.KafkaTimeoutError(f"{doing}: no answer in {most_ms / 1000:g} s")


class ExactlyOnce:
    """Publishes and commits in one transaction; a reader with `read_committed` sees each outcome once.

    Args:
        settings: brokers, topics and time-outs.
        consumer: tells the membership to commit under.
        transactional_id: this process's, the same after a restart, so that what a crash left open is aborted at once.
        log: tells of producers that had to be replaced.
    """

    def __init__(self, settings: WorkerSettings, consumer: Membership, transactional_id: str, log: Log) -> None:
        self._settings = settings
        self._consumer = consumer
        self._transactional_id = transactional_id
        self._log = log
        self._producer: BoundedProducer | None = None
        self._ready()

    def commit(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        """Publish the outcomes in order and commit the offsets in one transaction, and return once it is committed.

        Waits for what is `stored` with the transaction open, so that the store works while records are written.

        Raises:
            ServiceError: nothing of it is visible to a reader with `read_committed`; the caller rewinds.
        """
        membership = self._consumer.membership()
        producer = self._ready()
        try:
            with translated("transaction"), explained(self._settings):
                producer.begin_transaction()
                sent = publish(producer, settled, self._settings)
                wanted = {TopicPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}
                await_offsets = producer.begin_offsets(wanted, membership)
                try:
                    stored()
                except ServiceError:  # nothing is wrong with Kafka, so what is open need not keep readers waiting
                    with suppress(kafka_errors.KafkaError):
                        producer.abort_transaction()
                    raise
                await_offsets()
                # Before the commit: the client commits without a batch that took too long.
                await_acknowledged(producer, sent, self._settings.request_timeout_s)
                producer.commit_transaction()
        except ServiceError as error:
            self._discard(error)
            raise

    def ping(self) -> None:
        """Return if the brokers answer, transactions can begin, and both topics are there.

        Raises:
            ServiceError: they do not.
        """
        require_topics(self._ready(), self._settings)

    def close(self, timeout_s: float) -> None:
        """Give the client back."""
        if self._producer is not None:
            with translated("close"):
                self._producer.close(timeout=timeout_s)
            self._producer = None

    def _ready(self) -> BoundedProducer:
        """Return the producer, making one when there is none; its start aborts and fences its predecessor's."""
        if self._producer is None:
            with translated(connecting(self._settings)):
                config = {
                    **producer_config(self._settings),
                    "transactional_id": self._transactional_id,
                    "transaction_timeout_ms": round(self._settings.transaction_timeout_s * 1000),
                }
                producer = make_client(BoundedProducer, config)
                try:
                    producer.init_transactions()
                except kafka_errors.KafkaError:
                    close_failed(producer)
                    raise
            self._producer = producer
        return self._producer

    def _discard(self, error: ServiceError) -> None:
        self._log(logging.WARNING, "transaction_failed", reason=str(error))
        producer, self._producer = self._producer, None
        if producer is not None:
            close_failed(producer)
