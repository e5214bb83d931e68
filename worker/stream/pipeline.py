"""The loop: poll, batch, parse, rate, store, publish, commit.

Owns the order of these steps and what happens when a service fails. Never sees a client: it calls the ports in order,
and no port calls it back.

Nothing with an effect stays open across a poll. A batch is committed whole between two polls: its ratings are in the
store before anybody can read them on the topic, and published before its offsets are committed. If any of that fails,
the batch and the queue are dropped and read again (`rewind`): an outage holds no memory and has no second code path.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

from worker.backoff import Backoff
from worker.clock import Clock, iso_utc
from worker.errors import RefusedError, ServiceError, StreamRejectedError, TransientError, WorkerError
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import (
    Batch,
    Outcome,
    Partition,
    Pending,
    Record,
    Rejected,
    first_offsets,
    next_offsets,
    partition_of,
    without,
)
from worker.stream.batcher import Batcher
from worker.stream.breaker import Breaker, what_to_do
from worker.stream.chunks import chunks
from worker.stream.parse import Parser
from worker.stream.phases import Phases
from worker.stream.poison import HALTED, PoisonTracker
from worker.stream.ports import Classifier, Delivery, Source, Store, Traces
from worker.stream.rejection import reject_poison, reject_refused
from worker.stream.services import STOP_CHECK_S, Services

_MOST_REFUSALS: Final = 50  # of one batch, each less than a second: the worker must not lose its partitions meanwhile


@dataclass(slots=True)
class Pipeline:
    """Moves records from the source to the store and the delivery, one step at a time. Not thread-safe."""

    source: Source
    batcher: Batcher
    parser: Parser
    classifier: Classifier
    store: Store
    delivery: Delivery
    poison: PoisonTracker
    breaker: Breaker
    metrics: Metrics
    health: Health
    clock: Clock
    log: Log
    backoff: Backoff
    traces: Traces | None = None
    stopping: bool = field(default=False, init=False)
    services: Services = field(init=False)
    phases: Phases = field(init=False)
    _commit_s: float = field(default=0.0, init=False)  # seconds that the last commit took

    def __post_init__(self) -> None:
        self.phases = Phases(self.metrics, self.clock)
        self.services = Services(self.health, self.clock, self.log, self.backoff)

    def run(self) -> None:
        """Step until `stop`, then commit what is queued.

        Raises:
            ServiceError: permanent or fenced; what is not committed is redelivered.
            StreamRejectedError: the breaker opened; the stream was halted until the worker was stopped.
        """
        while not self.stopping:
            self.step()
        while (batch := self.batcher.drain(self.clock.monotonic())) is not None:
            if not self._process(batch):
                return  # a service is away: the next owner gets the rest

    def stop(self) -> None:
        """Ask `run` to end after the current step; safe to call from a signal handler."""
        self.stopping = True

    def undo_attempts(self, why: str = "") -> None:
        """Take back the attempts at records that are not committed, best effort: an exit is coming, or an outage.

        Not while the model has them: a text that it never finishes with is to blame. Safe to call from another thread.
        `why` is kept for the next run.
        """
        if self.phases.now != "classify":
            with suppress(ServiceError):
                self.poison.undo(why)

    def step(self) -> None:
        """Poll once and process every batch that is due.

        Raises:
            ServiceError: permanent or fenced.
            StreamRejectedError: the breaker opened, and the worker has been stopped since.
        """
        self.health.beat()
        self.classifier.refresh()
        started = self.clock.monotonic()
        try:
            records = self.source.poll(max(1, self.batcher.room), self.batcher.wait_s(started))
        except TransientError as error:
            self._start_over([], error)
            return
        now = self.clock.monotonic()
        self.metrics.phase_seconds.labels("poll" if records else "wait").inc(now - started)
        self.services.report(self.source.not_ready_reason())
        self._drop_revoked()
        self.batcher.add(records, self.clock.monotonic())
        self.metrics.consumed.inc(len(records))
        while (batch := self.batcher.release(self.clock.monotonic())) is not None:
            if not self._process(batch):
                return
        if self.batcher.empty and (positions := self.source.offsets_past_markers()):
            try:
                self._commit([], positions)  # so that the lag can read 0
            except TransientError as error:
                self._start_over([], error)

    def _process(self, batch: Batch) -> bool:
        """Commit a batch whole; False when a service is away and everything uncommitted has been rewound."""
        with self.phases.traced(self.traces.begin(batch) if self.traces else None):
            return self._settle(batch)

    def _settle(self, batch: Batch) -> bool:
        self.metrics.count_batch(batch)
        started, tokens = self.clock.monotonic(), self.classifier.tokens
        self.phases.seconds.clear()
        uncommitted = list(batch.records)
        try:
            for records in self.poison.split(batch.records):
                self._process_checkpoint(records)
                uncommitted = [] if len(records) == len(uncommitted) else without(uncommitted, records)
        except WorkerError as error:
            self.phases.failed(error)
            self.undo_attempts(HALTED if isinstance(error, StreamRejectedError) else "")
            if isinstance(error, TransientError):
                self.metrics.checkpoints.labels("failed").inc()
                if error.service == "kafka":
                    self.batcher.commit_failed(len(uncommitted))
                    self.log(logging.INFO, "batches_halved", most_records=self.batcher.most_records)
                self._start_over(uncommitted, error)
                return False
            if isinstance(error, StreamRejectedError):
                self._halt(uncommitted, error)
            raise
        token_s = self.phases.seconds["parse"] + self.phases.seconds["classify"]  # what grows with the tokens
        self.batcher.learn(batch, self.classifier.tokens - tokens, self.clock.monotonic() - started, token_s)
        self.metrics.set_batch_cost(self.batcher.cost.fixed_s, self.batcher.cost.each_token_s)
        return True

    def _process_checkpoint(self, records: Sequence[Record]) -> None:
        """Take records from parse to commit: the batch, or one record that is suspected of killing the process."""
        self.health.beat()
        with self.phases.timed("store"):
            poison = self.poison.start(records)
        outcomes = self._rate(self._parse(records, poison))
        self._ask_breaker(outcomes)
        try:
            published = self._commit(outcomes, next_offsets(records))
        except TransientError:
            self.breaker.undo()
            raise
        self.batcher.commit_took(len(records), self._commit_s)
        self.poison.committed()
        self.backoff.reset()
        self.metrics.checkpoints.labels("committed").inc()
        self.metrics.count_outcomes(published, self.clock.wall(), self.phases.exemplar)

    def _parse(self, records: Sequence[Record], poison: frozenset[tuple[Partition, int]]) -> list[Pending | Outcome]:
        """Return what each record is, in order."""
        version = self.classifier.version
        with self.phases.timed("parse"):
            return [
                self._reject_poison(record, version)
                if poison and (partition_of(record), record.offset) in poison
                else self.parser.parse(record, version)
                for record in records
            ]

    def _rate(self, parsed: list[Pending | Outcome]) -> list[Outcome]:
        """Rate what is pending, chunk by chunk, and send each chunk to the store; return the outcomes in order."""
        self._send([row for row in parsed if not isinstance(row, Pending)])
        for chunk in chunks(parsed):
            with self.phases.timed("classify"):
                rated = self.classifier.rate([review for _, review in chunk], iso_utc(self.clock.wall()))
            self._send(rated)
            for (index, _), outcome in zip(chunk, rated, strict=True):
                parsed[index] = outcome
        return cast("list[Outcome]", parsed)  # nothing is pending any more

    def _send(self, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            with self.phases.timed("store"):
                self.store.send(outcomes)

    def _ask_breaker(self, outcomes: Sequence[Outcome]) -> None:
        reason = self.breaker.opens(outcomes, again=self.poison.halted_before)
        if reason is not None:
            positions = first_offsets([outcome.record for outcome in outcomes])
            raise StreamRejectedError(what_to_do(reason, positions, again=self.poison.halted_before))

    def _commit(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> Sequence[Outcome]:
        """Publish the outcomes and commit the offsets; ratings that the brokers refuse become dead letters.

        Returns what was published. Where it would take too long to find them one by one, the batch fails: the next is
        smaller.
        """
        for left in reversed(range(_MOST_REFUSALS)):
            try:
                self._publish(outcomes, offsets)
            except RefusedError as error:
                if left == 0:
                    raise
                outcomes = reject_refused(outcomes, error, model_version=self.classifier.version)
                self.breaker.undo()
                self._ask_breaker(outcomes)
            else:
                break
        return outcomes

    def _publish(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        """Prepare the delivery, wait until the store has the batch, and commit; the store works during `prepare`."""
        self._deliver("publish", partial(self.delivery.prepare, outcomes, offsets))
        try:
            with self.phases.timed("store"):
                self.store.flush()
        except ServiceError:
            self.delivery.abort()
            raise
        self._deliver("commit", self.delivery.commit)
        self._commit_s = self.phases.seconds.pop("topic")
        self.metrics.sink_seconds.labels("topic").observe(self._commit_s)

    def _deliver(self, step: str, call: Callable[[], None]) -> None:
        with self.phases.timed("topic", step):
            try:
                call()
            except ServiceError as error:
                self.metrics.sink_errors.labels("topic", error.kind).inc()
                raise

    def _drop_revoked(self) -> frozenset[Partition]:
        """Drop the queued records and the notes of revoked partitions; return the partitions."""
        if revoked := self.source.take_revoked():
            self.batcher.drop(revoked)
            self.poison.drop(revoked)
        return revoked

    def _reject_poison(self, record: Record, version: str) -> Rejected:
        at = partition_of(record)
        self.log(logging.ERROR, "poison_record_rejected", topic=at.topic, partition=at.partition, offset=record.offset)
        return reject_poison(record, self.poison.runs(at) - 1, model_version=version)

    def _halt(self, uncommitted: Sequence[Record], error: StreamRejectedError) -> None:
        """Hold the stream until stopped: to go on, or to restart again and again, would drain the topic."""
        self._rewind(uncommitted)
        self.metrics.breaker_open.set(1)
        self.health.down("breaker", str(error))
        self.log(logging.CRITICAL, "breaker_open", reason=str(error))
        while not self.stopping:
            self.services.hold(STOP_CHECK_S, self.source, lambda: self.stopping)

    def _start_over(self, uncommitted: Sequence[Record], error: TransientError) -> None:
        """Drop everything uncommitted, go back to where it was read, and wait until the services answer."""
        self._rewind(uncommitted)
        self.services.wait(error, self.source, self._ping, lambda: self.stopping)
        self.undo_attempts()  # what the ledger could not take back before

    def _ping(self) -> None:
        self.parser.ping()
        self.store.ping()
        self.delivery.ping()

    def _rewind(self, uncommitted: Sequence[Record]) -> None:
        """Read everything uncommitted again, except partitions that another worker has, or had meanwhile.

        Such a partition may have come back with a position past what was queued: going back would rate twice.
        """
        self.store.abandon()
        positions = first_offsets([*uncommitted, *self.batcher.clear()])
        gone = self._drop_revoked()
        self.source.rewind({at: offset for at, offset in positions.items() if at not in gone})
