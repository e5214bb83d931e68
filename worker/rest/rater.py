"""Rates the reviews of many requests in micro-batches, on one thread with one interpreter.

Owns the queue and that thread. The batches are the stream's own (`worker.stream.batcher`), and so are the chunks, the
models behind the classifier and the metrics. A request's reviews are records without a Kafka position: their topic is
`rest`, and their offset counts up from the start of the process.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from schemas.review import Review
from worker.clock import Clock, iso_utc
from worker.ops.health import Health
from worker.ops.metrics import Metrics
from worker.records import Batch, Outcome, Pending, PlainRecord, Rated, Rejected
from worker.stream.batcher import Batcher
from worker.stream.chunks import chunks
from worker.stream.ports import Classifier, Trace

SOURCE: Final = "rest"


class QueueFullError(Exception):
    """More reviews wait than are allowed."""


@dataclass(slots=True, eq=False)
class Asked:
    """The reviews of one request, and what became of them so far.

    Attributes:
        given_up: set it from any thread when nobody waits any more: what is not rated by then never is.
    """

    reviews: list[Pending]
    answered: Callable[[list[Rated | Rejected]], None]
    trace: Trace | None = None  # of the request, if it is sampled
    asked_s: float = 0.0
    given_up: bool = False
    outcomes: dict[int, Rated | Rejected] = field(default_factory=dict)  # by the offset of their record

    def settle(self, outcome: Rated | Rejected) -> None:
        """Take an outcome; with the last one the request is answered."""
        self.outcomes[outcome.record.offset] = outcome
        if len(self.outcomes) == len(self.reviews):
            self.answered([self.outcomes[review.record.offset] for review in self.reviews])


class Rater:
    """Takes reviews from any thread, and rates them on the thread that calls `run`.

    Args:
        most_waiting: reviews that may wait.

    Attributes:
        waiting: reviews that were taken and are not rated yet.
    """

    def __init__(
        self,
        classifier: Classifier,
        batcher: Batcher,
        *,
        most_waiting: int,
        metrics: Metrics,
        health: Health,
        clock: Clock,
    ) -> None:
        self.waiting = 0
        self._classifier = classifier
        self._batcher = batcher
        self._most_waiting = most_waiting
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._inbox: SimpleQueue[Asked | None] = SimpleQueue()
        self._queued: dict[int, tuple[Asked, Pending]] = {}  # by the offset of the record
        self._offsets = itertools.count()
        self._run_id = uuid.uuid4().hex
        self._lock = threading.Lock()  # of `waiting`
        self._stopping = False

    def submit(
        self,
        reviews: Sequence[Review],
        answered: Callable[[list[Rated | Rejected]], None],
        trace: Trace | None = None,
    ) -> Asked:
        """Queue a request's reviews.

        Args:
            reviews: at least one.
            answered: is called once with their outcomes, in order, on the rating thread; must not block or raise.
            trace: receives how long they waited and how long their rating took.

        Raises:
            QueueFullError: nothing was queued.
        """
        with self._lock:
            if self.waiting + len(reviews) > self._most_waiting:
                raise QueueFullError
            self.waiting += len(reviews)
        now_ms = round(self._clock.wall() * 1000)
        pending = [self._pending(review, now_ms) for review in reviews]
        asked = Asked(pending, answered, trace, self._clock.monotonic() if trace else 0.0)
        self._inbox.put(asked)
        return asked

    def run(self) -> None:
        """Rate until `stop`, and then what was queued before it."""
        while not self._stopping:
            self.step()
        self._take(0.0)
        while (batch := self._batcher.drain(self._clock.monotonic())) is not None:
            self._process(batch)

    def stop(self) -> None:
        """Ask `run` to end; safe from any thread."""
        self._stopping = True
        self._inbox.put(None)

    def step(self) -> None:
        """Wait for requests as long as the batcher says, and rate every batch that is due."""
        self._health.beat()
        self._classifier.refresh()
        self._take(self._batcher.wait_s(self._clock.monotonic()))
        while (batch := self._batcher.release(self._clock.monotonic())) is not None:
            self._process(batch)

    def _pending(self, review: Review, now_ms: int) -> Pending:
        record = PlainRecord(SOURCE, 0, next(self._offsets), now_ms, value=review.text.encode())
        # Not a UUID each: asking the kernel for randomness gives the interpreter lock away, and waits to get it back.
        return Pending(record, review.review_id or f"{self._run_id}-{record.offset}", review)

    def _take(self, timeout_s: float) -> None:
        """Move the requests that are there into the batcher; wait for the first."""
        started = self._clock.monotonic()
        arrived: list[Asked | None] = []
        try:
            arrived.append(self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait())
            while True:
                arrived.append(self._inbox.get_nowait())
        except Empty:
            pass
        now = self._clock.monotonic()
        self._metrics.phase_seconds.labels("poll" if arrived else "wait").inc(now - started)
        for asked in filter(None, arrived):
            self._queued |= {review.record.offset: (asked, review) for review in asked.reviews}
            self._batcher.add([review.record for review in asked.reviews], now)
            self._metrics.consumed.inc(len(asked.reviews))

    def _process(self, batch: Batch) -> None:
        self._metrics.count_batch(batch)
        started, tokens = self._clock.monotonic(), self._classifier.tokens
        taken = [self._queued.pop(record.offset) for record in batch.records]
        wanted = [(asked, review) for asked, review in taken if not asked.given_up]
        outcomes: list[Outcome] = []
        traced = {id(asked): asked for asked, _ in wanted if asked.trace is not None}
        for asked in traced.values():
            self._note(asked, "queue", asked.asked_s, started)
        for chunk in chunks([review for _, review in wanted]):
            begun = self._clock.monotonic()
            rated = self._classifier.rate([review for _, review in chunk], iso_utc(self._clock.wall()))
            ended = self._clock.monotonic()
            for asked in {id(wanted[index][0]): wanted[index][0] for index, _ in chunk}.values() if traced else ():
                self._note(asked, "classify", begun, ended)
            for (index, _), outcome in zip(chunk, rated, strict=True):
                wanted[index][0].settle(outcome)
            outcomes += rated
        seconds = self._clock.monotonic() - started
        with self._lock:
            self.waiting -= len(taken)
        self._metrics.phase_seconds.labels("classify").inc(seconds)
        self._metrics.count_outcomes(outcomes, self._clock.wall())
        whole = self._clock.monotonic() - started
        self._batcher.learn(batch, self._classifier.tokens - tokens, whole, seconds)
        self._metrics.set_batch_cost(self._batcher.cost.fixed_s, self._batcher.cost.each_token_s)

    @staticmethod
    def _note(asked: Asked, step: str, begun_s: float, ended_s: float) -> None:
        if asked.trace is not None:
            asked.trace.step(step, begun_s, ended_s - begun_s)
