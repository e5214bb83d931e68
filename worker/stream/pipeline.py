"""The loop: poll, gather, parse, rate, store, publish and commit. The only orchestrator.

Owns the order of things and what happens when a service fails. Never sees a client: only ports.

Nothing with an effect is ever open across a poll. A batch is settled whole between two polls: its ratings are in
Redis before anybody can read them on the topic, published before its offsets are committed. When any of that fails,
the batch and all that waits is forgotten and its partitions are read again from where they stood (`rewind`), so an
outage holds no memory and has no second path.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from worker.backoff import Backoff
from worker.clock import Clock, iso_utc
from worker.errors import ServiceError, StreamRejectedError, TransientError
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import (
    Batch,
    Outcome,
    Partition,
    Pending,
    Rated,
    Record,
    Rejected,
    first_offsets,
    next_offsets,
    partition_of,
    without,
)
from worker.stream.batcher import Batcher
from worker.stream.breaker import Breaker
from worker.stream.chunks import parts
from worker.stream.parse import Parser, rejected
from worker.stream.poison import Attempts
from worker.stream.ports import Classifier, Delivery, Source, Store, nothing

_OF_TOKENS = frozenset({"parse", "classify"})  # phases whose time grows with the tokens
_STOP_CHECK_S = 0.5  # no call blocks longer, so a signal is seen in time


@dataclass(slots=True)
class Pipeline:
    """Moves records from the source to the store and the delivery, one step at a time. Not thread-safe."""

    source: Source
    batcher: Batcher
    parser: Parser
    classifier: Classifier
    store: Store
    delivery: Delivery
    attempts: Attempts
    breaker: Breaker
    metrics: Metrics
    health: Health
    clock: Clock
    log: Log
    backoff: Backoff
    stopping: bool = field(default=False, init=False)
    _nested_s: float = field(default=0.0, init=False)  # of the phases inside the one under way
    _of_tokens_s: float = field(default=0.0, init=False)  # of the batch under way

    def run(self) -> None:
        """Step until `stop`, then settle what was gathered.

        Raises:
            ServiceError: permanent or fenced; what is not committed is redelivered.
            StreamRejectedError: the breaker opened; raised once stopped, held until then.
        """
        while not self.stopping:
            self.step()
        while (batch := self.batcher.drain(self.clock.monotonic())) is not None:
            if not self._settle(batch):
                return  # a service is away: the rest is redelivered to the next owner

    def stop(self) -> None:
        """Ask `run` to end after the step under way; safe to call from a signal handler."""
        self.stopping = True

    def step(self) -> None:
        """Poll once and settle every batch that is due.

        Raises:
            ServiceError: permanent or fenced.
            StreamRejectedError: the breaker opened, and the worker was stopped since.
        """
        self.health.beat()
        self.classifier.refresh()
        started = self.clock.monotonic()
        wait_s = self.batcher.wait_s(started)
        try:
            records = self.source.poll(max(1, self.batcher.room), wait_s)
        except TransientError as error:
            self._start_over([], error)
            return
        now = self.clock.monotonic()
        self.metrics.phase_seconds.labels("poll" if records else "wait").inc(now - started)
        self._report(self.source.trouble())
        self._let_go()
        self.batcher.add(records, self.clock.monotonic())
        self.metrics.consumed.inc(len(records))
        while (batch := self.batcher.release(self.clock.monotonic())) is not None:
            if not self._settle(batch):
                return
        if self.batcher.empty and (passed := self.source.passed()):
            self._pass(passed)

    def _pass(self, positions: Mapping[Partition, int]) -> None:
        """Commit that there is nothing to settle up to here, so that whoever reads the lag sees none."""
        try:
            self._deliver([], positions)
        except TransientError as error:
            self._start_over([], error)

    def _let_go(self) -> frozenset[Partition]:
        """Forget what is gathered and known of partitions that went to another worker; return them."""
        if revoked := self.source.take_revoked():
            self.batcher.drop(revoked)
            self.attempts.forget(revoked)
        return revoked

    def _settle(self, batch: Batch) -> bool:
        """Settle a batch whole; False when a service is away and everything unsettled has been rewound."""
        self.metrics.count_batch(batch)
        started, tokens, self._of_tokens_s = self.clock.monotonic(), self.classifier.tokens, 0.0
        unsettled = list(batch.records)
        try:
            for records in self.attempts.split(batch.records):
                self._settle_together(records)
                unsettled = [] if len(records) == len(unsettled) else without(unsettled, records)
        except TransientError as error:
            self.metrics.checkpoints.labels("failed").inc()
            self._start_over(unsettled, error)
            return False
        except StreamRejectedError as error:
            self._stand_still(unsettled, error)
            raise
        seconds = self.clock.monotonic() - started
        self.batcher.learn(batch, self.classifier.tokens - tokens, seconds, self._of_tokens_s)
        self.metrics.tell_cost(self.batcher.cost)
        return True

    def _settle_together(self, records: Sequence[Record]) -> None:
        """Take records that were read together from parse to commit: one checkpoint."""
        self.health.beat()
        with self._timed("redis"):
            condemned = self.attempts.begin(records)
        judged = self._parse(records, condemned)
        written = [each for each in judged if not isinstance(each, Pending)]  # in the order the store gets them
        if written:
            self.store.begin(written)
        for part in parts(judged):
            outcomes = self._rate([each for _, each in part])
            with self._timed("redis"):
                self.store.begin(outcomes)
            written += outcomes
            for (at, _), outcome in zip(part, outcomes, strict=True):
                judged[at] = outcome
        settled = cast("list[Outcome]", judged)  # none is pending any more
        reason = self.breaker.opens(settled)
        if reason is not None:
            raise StreamRejectedError(f"dead-letter breaker: {reason}; look at the dead letters, then restart")
        try:
            self._deliver(settled, next_offsets(records), partial(self._write, written))
        except TransientError:
            self.breaker.take_back()
            raise
        self.backoff.reset()
        self.metrics.checkpoints.labels("committed").inc()
        self.metrics.count_settled(settled, self.clock.wall())

    def _deliver(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        with self._timed("topic"):
            started = self.clock.monotonic()
            try:
                self.delivery.commit(settled, offsets, stored)
            except ServiceError as error:
                if error.service == "kafka":  # the store counts its own
                    self.metrics.sink_errors.labels("topic", error.kind).inc()
                raise
            elsewhere_s = self._nested_s
            self.metrics.sink_seconds.labels("topic").observe(self.clock.monotonic() - started - elsewhere_s)

    def _write(self, settled: Sequence[Outcome]) -> None:
        with self._timed("redis"):
            self.store.write(settled)

    def _parse(self, records: Sequence[Record], condemned: frozenset[tuple[Partition, int]]) -> list[Pending | Outcome]:
        """Return what each record is, in order."""
        version = self.classifier.version
        with self._timed("parse"):
            return [
                self._condemn(record, version)
                if condemned and (partition_of(record), record.offset) in condemned
                else self.parser.parse(record, version)
                for record in records
            ]

    def _rate(self, pending: Sequence[Pending]) -> list[Rated | Rejected]:
        with self._timed("classify"):
            return self.classifier.rate(pending, iso_utc(self.clock.wall()))

    def _condemn(self, record: Record, version: str) -> Rejected:
        lives = self.attempts.lives(partition_of(record))
        self.log(
            logging.ERROR, "record_condemned", topic=record.topic, partition=record.partition, offset=record.offset
        )
        message = f"the process died {lives - 1} times while it rated this record alone (WORKER_MAX_ATTEMPTS)"
        return rejected(record, "unratable", message, model_version=version, exception="worker.stream.poison.Attempts")

    def _stand_still(self, unsettled: Sequence[Record], error: StreamRejectedError) -> None:
        """Hold the stream, loudly, until stopped: going on, or starting again and again, would drain the topic."""
        self._rewind(unsettled)
        self.metrics.breaker_open.set(1)
        self.metrics.ready.set(0)
        self.health.down("breaker", str(error))
        self.log(logging.CRITICAL, "breaker_open", reason=str(error))
        while not self.stopping:
            self._hold(_STOP_CHECK_S)

    def _start_over(self, unsettled: Sequence[Record], error: TransientError) -> None:
        """Forget all that is unsettled, go back to where it was read, and wait until the services answer."""
        with suppress(TransientError):  # best effort: with the ledger away nothing was noted either
            self.attempts.forgive(unsettled)
        self._rewind(unsettled)
        while not self.stopping:
            self._say_down(error)
            self._hold(self.backoff.next_s())
            try:
                self.store.ping()
                self.delivery.ping()
            except TransientError as still:
                error = still
            else:
                break
        else:
            return  # stopped meanwhile: nothing has recovered
        for part in ("kafka", "redis"):
            if self.health.up(part):
                self.log(logging.INFO, "recovered", part=part)

    def _report(self, trouble: str | None) -> None:
        if trouble is not None:
            self._say_down(TransientError("kafka", trouble))
        elif self.health.up("kafka"):
            self.log(logging.INFO, "recovered", part="kafka")
        self.metrics.ready.set(0.0 if self.health.reasons else 1.0)

    def _rewind(self, unsettled: Sequence[Record]) -> None:
        """Read all that is unsettled again, but for partitions that are, or were meanwhile, another worker's.

        Such a one may have come back, with a position past what was gathered before: going back would rate twice.
        """
        positions = first_offsets([*unsettled, *self.batcher.clear()])
        gone = self._let_go()
        self.source.rewind({at: offset for at, offset in positions.items() if at not in gone})

    def _say_down(self, error: ServiceError) -> None:
        self.metrics.ready.set(0.0)
        if self.health.down(error.service, str(error)):
            self.log(logging.WARNING, "outage", part=error.service, reason=str(error))

    def _hold(self, seconds: float) -> None:
        """Keep membership and take nothing for so long, or until stopped."""
        until = self.clock.monotonic() + seconds
        while not self.stopping and (left := until - self.clock.monotonic()) > 0:
            self.health.beat()
            try:
                self.source.hold(min(_STOP_CHECK_S, left))
            except TransientError as error:
                self._say_down(error)
                self.clock.sleep(min(_STOP_CHECK_S, left))

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Book the seconds of a phase, without those of the phases inside it."""
        started, around_s = self.clock.monotonic(), self._nested_s
        self._nested_s = 0.0
        try:
            yield
        finally:
            elapsed_s = self.clock.monotonic() - started
            self.metrics.phase_seconds.labels(phase).inc(elapsed_s - self._nested_s)
            if phase in _OF_TOKENS:
                self._of_tokens_s += elapsed_s
            self._nested_s = around_s + elapsed_s
