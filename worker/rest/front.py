"""What the routes share: the process, its models and its queue.

Owns how a request's reviews get their ratings. `worker.rest.server` makes it, and `app` hands it to
the routes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.review import Review
from worker.model.serving import ServingClassifier
from worker.ops.rest_metrics import RestMetrics
from worker.records import Rated, Rejected
from worker.rest.problems import FieldError, Problem, try_again
from worker.rest.rater import QueueFullError, Rater
from worker.wiring import Process


@dataclass(frozen=True, slots=True)
class Front:
    """The parts of a running front."""

    process: Process
    rest_metrics: RestMetrics
    classifier: ServingClassifier
    rater: Rater
    stop: threading.Event  # set when the process is asked to stop

    async def rate(self, reviews: Sequence[Review], pointers: Sequence[str]) -> list[Rated]:
        """Return the ratings of reviews, in order.

        Args:
            reviews: at least one.
            pointers: where each is in the request, for errors.

        Raises:
            Problem: the queue is full, the deadline passed, or the model refused a text.
        """
        settings = self.process.settings
        try:
            coming = self.rater.submit(reviews)
        except QueueFullError:
            raise try_again(
                429, f"{self.rater.waiting} reviews wait already (WORKER_REST_QUEUE_REVIEWS); try again"
            ) from None
        try:
            outcomes = await asyncio.wait_for(asyncio.wrap_future(coming), settings.rest_deadline_s)
        except TimeoutError:
            raise try_again(503, "not rated within the deadline (WORKER_REST_DEADLINE_S); try again") from None
        refused = [
            FieldError(pointer=f"{pointer}/text", detail=outcome.letter.message, reason=outcome.letter.reason)
            for pointer, outcome in zip(pointers, outcomes, strict=True)
            if isinstance(outcome, Rejected)
        ]
        if refused:
            raise Problem(422, refused[0].detail, refused)
        return [outcome for outcome in outcomes if isinstance(outcome, Rated)]
