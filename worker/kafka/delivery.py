"""The Delivery port over either Kafka client: at-least-once, and exactly-once in one transaction (KIP-98, KIP-447).

Owns the order of publishing and committing, and the producer's start and end. Two rules make exactly-once hold; tests
that broke it showed both (worker/DECISIONS.md). Commit under the membership that was current when the records were
polled. After any failure discard the producer: an aborted one keeps the offsets of the failed transaction, and would
commit them with its next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from worker.errors import ServiceError
from worker.kafka.group import GroupMember, OffsetCommitter
from worker.kafka.outgoing import Outgoing, Producer, outgoing
from worker.ops.logs import Log
from worker.records import Outcome, Partition
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery


class _KafkaDelivery(Delivery):
    """A delivery and its producer, which is made on demand."""

    def __init__(self, settings: WorkerSettings, make_producer: Callable[[], Producer]) -> None:
        self._settings = settings
        self._make_producer = make_producer
        self._producer: Producer | None = None
        self._working_producer()

    @override
    def ping(self) -> None:
        producer = self._working_producer()
        for variable, topic in (
            ("WORKER_OUTPUT_TOPIC", self._settings.output_topic),
            ("WORKER_DEAD_LETTER_TOPIC", self._settings.dead_letter_topic),
        ):
            producer.require_topic(topic, f"{variable}={topic}: does the topic exist, and may this user write to it?")

    def close(self, timeout_s: float) -> None:
        """Close the client; it holds nothing between two commits."""
        del timeout_s
        self._discard()

    def _working_producer(self) -> Producer:
        """Return the producer; replace it first if it has failed."""
        if self._producer is not None and self._producer.failed:
            self._discard()
        if self._producer is None:
            producer = self._make_producer()
            try:
                producer.start()
            except ServiceError:
                producer.discard()
                raise
            self._producer = producer
        return self._producer

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.discard()

    def _outgoing(self, outcomes: Sequence[Outcome]) -> list[Outgoing]:
        return [outgoing(outcome, self._settings) for outcome in outcomes]


class AtLeastOnce(_KafkaDelivery):
    """Publishes, waits until all replicas have the records, and commits; a crash in between makes it publish again."""

    def __init__(
        self, settings: WorkerSettings, consumer: OffsetCommitter, make_producer: Callable[[], Producer]
    ) -> None:
        self._consumer = consumer
        self._prepared: tuple[Producer, list[Outgoing], Mapping[Partition, int]] | None = None
        super().__init__(settings, make_producer)

    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        """Keep the outcomes and offsets for `commit`, because sent records cannot be withdrawn."""
        self._prepared = self._working_producer(), self._outgoing(outcomes), offsets

    @override
    def commit(self) -> None:
        if self._prepared is None:
            raise RuntimeError("nothing is prepared")
        producer, records, offsets = self._prepared
        self._prepared = None
        try:
            producer.send(records)
            producer.flush()
        except ServiceError:
            self._discard()
            raise
        self._consumer.commit(offsets)

    @override
    def abort(self) -> None:
        self._prepared = None


class ExactlyOnce(_KafkaDelivery):
    """Publishes and commits in one transaction: a reader with `read_committed` sees each outcome once.

    Args:
        make_producer: returns a new producer of the client, with this process's transactional id: the same after a
            restart, so that a transaction that a crash left open is aborted at once.
    """

    def __init__(
        self, settings: WorkerSettings, consumer: GroupMember, make_producer: Callable[[], Producer], log: Log
    ) -> None:
        self._consumer = consumer
        self._log = log
        self._open: Producer | None = None  # has an open transaction
        super().__init__(settings, make_producer)

    @override
    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        membership = self._consumer.membership()
        producer = self._working_producer()
        try:
            producer.begin()
            producer.send(self._outgoing(outcomes))
            producer.add_offsets(offsets, membership)
        except ServiceError as error:
            self._replace(error)
            raise
        self._open = producer

    @override
    def commit(self) -> None:
        if self._open is None:
            raise RuntimeError("nothing is prepared")
        producer, self._open = self._open, None
        try:
            producer.commit()
        except ServiceError as error:
            self._replace(error)
            raise

    @override
    def abort(self) -> None:
        if self._open is not None:
            self._open.abort()
            self._open = None
            self._discard()

    def _replace(self, error: ServiceError) -> None:
        self._log(logging.WARNING, "transaction_failed", reason=str(error))
        self._discard()
