"""The Delivery port over either Kafka client: at-least-once, and exactly-once in one transaction (KIP-98, KIP-447).

Owns the order of publishing and committing, and the producer's start and end. Two rules make exactly-once hold; tests
that broke it showed both (worker/DECISIONS.md). Commit under the membership that was current when the records were
polled. After any failure discard the producer: an aborted one keeps the offsets of the failed transaction, and would
commit them with its next.

A refusal that names records is no outage: those are changed (`outgoing` says how) and the batch is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from worker.clock import Clock
from worker.errors import RefusedError, ServiceError, TransientError
from worker.kafka.fencing import FencingWatch
from worker.kafka.group import GroupMember, OffsetCommitter
from worker.kafka.outgoing import Outgoing, OutgoingForm, Producer, RatingForm, size_of
from worker.ops.logs import Log
from worker.records import Outcome, Partition, Rejected
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery

_BATCH_BYTES: Final = 1_000_000  # librdkafka's default; less once a topic has refused a batch, not a record, for size
# Of one batch, about a third of a second each: fewer than let the worker lose its partitions, more than a letter needs.
_MOST_CHANGES: Final = 50
MakeProducer = Callable[[int], Producer]


class _KafkaDelivery(Delivery):
    """A delivery and its producer, which is made on demand, for the batch that is prepared."""

    def __init__(
        self, settings: WorkerSettings, make_producer: MakeProducer, log: Log, rating_form: RatingForm | None
    ) -> None:
        self._settings = settings
        self._make_producer = make_producer
        self._log = log
        self._form = OutgoingForm(settings, rating_form=rating_form)
        self._batch_bytes = _BATCH_BYTES
        self._changes = 0  # of this batch
        self._isolated = False  # whether each record goes in a record batch of its own, to find the one that is refused
        self._outcomes: Sequence[Outcome] = ()
        self._records: list[Outgoing] = []  # of those outcomes, in order
        self._producer: Producer | None = None
        self._working_producer()

    @override
    def ping(self) -> None:
        self._form.ping()
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
            producer = self._make_producer(1 if self._isolated else self._batch_bytes)
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

    def _begin(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes of another batch."""
        self._changes = 0
        if self._isolated:
            self._isolated = False
            self._discard()
        self._take(outcomes)

    def _take(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes
        self._records = [self._form.of(outcome) for outcome in outcomes]

    def _change_refused(self, error: RefusedError) -> None:
        """Change the records that the brokers refused, so that the batch can be sent again.

        Raises:
            RefusedError: ratings or tombstones are refused, which cannot be changed; it names the consumed records.
            TransientError: the present time is refused.
        """
        self._changes += 1
        if self._changes > _MOST_CHANGES:
            raise TransientError("kafka", str(error)) from error  # the next batch is smaller
        refused = error.records
        if error.why == "size":
            # A record as large as a record batch may get has one for itself.
            refused = [record for record in refused if len(refused) == 1 or size_of(record) >= self._batch_bytes]
            if not refused:
                self._batch_bytes = max(1, min(self._batch_bytes, sum(map(size_of, error.records))) // 2)
                self._log(logging.WARNING, "record_batches_halved", most_bytes=self._batch_bytes, reason=str(error))
                return
        numbers = {id(record): number for number, record in enumerate(self._records)}
        at = [numbers[id(record)] for record in refused]
        letters = [number for number in at if isinstance(self._outcomes[number], Rejected)]
        if not letters:
            if error.why == "time":
                raise TransientError("kafka", f"{error}: is this machine's clock right?") from error
            if not error.exact and not self._isolated:
                self._isolated = True
                return
            if error.why == "size":  # then what is as large would be refused, too
                least = min(map(size_of, refused))
                at = [
                    number
                    for number, record in enumerate(self._records)
                    if size_of(record) >= least and not isinstance(self._outcomes[number], Rejected)
                ]
            raise RefusedError(error.why, [self._outcomes[number].record for number in at], str(error)) from error
        self._change_letters(letters, error)

    def _change_letters(self, numbers: Sequence[int], error: RefusedError) -> None:
        """Bring letters into a form that their topic may take; leave out one that it takes in no form."""
        before = [self._records[number] for number in numbers]
        exact = error.exact or self._isolated
        self._form.learn(error.why, before, exact=exact)
        self._take(self._outcomes)
        unchanged = [number for number, letter in zip(numbers, before, strict=True) if self._records[number] == letter]
        if len(unchanged) < len(numbers):
            self._log(logging.WARNING, "dead_letters_changed", why=error.why, reason=str(error))
        elif not exact:
            self._isolated = True
        if exact:
            for number in unchanged:
                record = self._outcomes[number].record
                where = f"{record.topic}-{record.partition}@{record.offset}"
                self._log(logging.ERROR, "dead_letter_refused", record=where, reason=str(error))
            self._take([outcome for number, outcome in enumerate(self._outcomes) if number not in unchanged])


class AtLeastOnce(_KafkaDelivery):
    """Publishes, waits until all replicas have the records, and commits; a crash in between makes it publish again."""

    def __init__(
        self,
        settings: WorkerSettings,
        consumer: OffsetCommitter,
        make_producer: MakeProducer,
        log: Log,
        rating_form: RatingForm | None = None,
    ) -> None:
        self._consumer = consumer
        self._offsets: Mapping[Partition, int] | None = None
        super().__init__(settings, make_producer, log, rating_form)

    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        """Keep the outcomes and offsets for `commit`, because sent records cannot be withdrawn."""
        self._begin(outcomes)
        self._working_producer()
        self._offsets = offsets

    @override
    def commit(self) -> None:
        if self._offsets is None:
            raise RuntimeError("nothing is prepared")
        offsets, self._offsets = self._offsets, None
        while not self._published():
            pass
        self._consumer.commit(offsets)

    @override
    def abort(self) -> None:
        self._offsets = None

    def _published(self) -> bool:
        """Publish the batch; False when some records were refused, which are changed now."""
        producer = self._working_producer()
        try:
            producer.send(self._records)
            producer.flush()
        except ServiceError as error:
            self._discard()
            if not isinstance(error, RefusedError):
                raise
            self._change_refused(error)
            return False
        return True


class ExactlyOnce(_KafkaDelivery):
    """Publishes and commits in one transaction: a reader with `read_committed` sees each outcome once.

    Args:
        make_producer: returns a new producer of the client, with record batches of up to so many bytes, and with this
            process's transactional id: the same after a restart, so that a transaction that a crash left open is
            aborted at once.
        clock: tells a transaction that ran out of time from one that another producer ended.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        consumer: GroupMember,
        make_producer: MakeProducer,
        *,
        log: Log,
        clock: Clock,
        rating_form: RatingForm | None = None,
    ) -> None:
        self._consumer = consumer
        self._fencing = FencingWatch(settings, clock)
        self._open: Producer | None = None  # has an open transaction
        self._offsets: tuple[Mapping[Partition, int], Any] = ({}, None)  # and the membership to commit them under
        super().__init__(settings, make_producer, log, rating_form)

    @override
    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        self._offsets = offsets, self._consumer.membership()
        self._begin(outcomes)
        while not self._sent():
            pass

    @override
    def commit(self) -> None:
        if self._open is None:
            raise RuntimeError("nothing is prepared")
        while not self._committed():
            while not self._sent():
                pass

    @override
    def abort(self) -> None:
        if self._open is not None:
            self._open.abort()
            self._open = None
            self._discard()

    def _sent(self) -> bool:
        """Send the batch in a transaction; False when some records were refused, which are changed now."""
        producer = self._working_producer()
        try:
            self._fencing.begin()
            producer.begin()
            producer.send(self._records)
            producer.add_offsets(*self._offsets)
        except ServiceError as error:
            self._replace(error)
            return False
        self._open = producer
        return True

    def _committed(self) -> bool:
        """Commit the transaction; False when some records were refused, which are changed now."""
        assert self._open is not None  # noqa: S101
        producer, self._open = self._open, None
        try:
            producer.commit()
        except ServiceError as error:
            self._replace(error)
            return False
        return True

    def _replace(self, error: ServiceError) -> None:
        """Discard the producer, and change what was refused.

        Raises:
            ServiceError: nothing was; the caller rewinds.
        """
        self._discard()
        if not isinstance(error, RefusedError):
            self._log(logging.WARNING, "transaction_failed", reason=str(error))
            self._fencing.check(error)
            raise error
        self._change_refused(error)
