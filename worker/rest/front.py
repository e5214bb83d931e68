"""What the routes share: the process, its models and its queue.

Owns how a request's reviews get their ratings. `worker.rest.server` makes it, and `app` hands it to
the routes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from schemas.review import Review
from worker.model.serving import ServingClassifier
from worker.ops.rest_metrics import RestMetrics
from worker.records import Rated, Rejected
from worker.rest.problems import FieldError, Problem, try_again
from worker.rest.rater import QueueFullError, Rater
from worker.traces.request import TRACE
from worker.wiring import Process

Outcomes = list[Rated | Rejected]
Coming = asyncio.Future[Outcomes]


class Postbox:
    """Carries answers from the rating thread to the event loop: all that a batch answers wake it up once."""

    def __init__(self) -> None:
        self._answers: deque[tuple[Coming, Outcomes]] = deque()

    def put(self, coming: Coming, outcomes: Outcomes) -> None:
        """Hand an answer over; on the rating thread."""
        self._answers.append((coming, outcomes))
        loop = coming.get_loop()
        if len(self._answers) == 1 and not loop.is_closed():
            loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._answers:
            coming, outcomes = self._answers.popleft()
            if not coming.done():
                coming.set_result(outcomes)


@dataclass(frozen=True, slots=True)
class Front:
    """The parts of a running front."""

    process: Process
    rest_metrics: RestMetrics
    classifier: ServingClassifier
    rater: Rater
    stop: threading.Event  # set when the process is asked to stop
    postbox: Postbox = field(default_factory=Postbox)

    async def rate(self, reviews: Sequence[Review], pointers: Sequence[str]) -> list[Rated]:
        """Return the ratings of reviews, in order.

        Args:
            reviews: at least one.
            pointers: where each is in the request, for errors.

        Raises:
            Problem: the queue is full, the deadline passed, or the model refused a text.
        """
        loop = asyncio.get_running_loop()
        coming: Coming = loop.create_future()
        try:
            asked = self.rater.submit(reviews, partial(self.postbox.put, coming), TRACE.get())
        except QueueFullError:
            raise try_again(
                429, f"{self.rater.waiting} reviews wait already (WORKER_REST_QUEUE_REVIEWS); try again"
            ) from None
        timer = loop.call_later(self.process.settings.rest_deadline_s, _expire, coming)
        try:
            outcomes = await coming
        except TimeoutError:
            raise try_again(503, "not rated within the deadline (WORKER_REST_DEADLINE_S); try again") from None
        finally:  # also when the client has left
            timer.cancel()
            asked.given_up = not coming.done() or coming.cancelled() or coming.exception() is not None
        refused = [
            FieldError(pointer=f"{pointer}/text", detail=outcome.letter.message, reason=outcome.letter.reason)
            for pointer, outcome in zip(pointers, outcomes, strict=True)
            if isinstance(outcome, Rejected)
        ]
        if refused:
            raise Problem(422, refused[0].detail, refused)
        return [outcome for outcome in outcomes if isinstance(outcome, Rated)]


def _expire(coming: Coming) -> None:
    if not coming.done():
        coming.set_exception(TimeoutError())
