"""Authors' stars from the feedback topic, joined by review id with the ratings in Redis, become metrics.

Owns a thread with its own consumer, group and Redis connection, so that no review waits when feedback is slow or fails.
It makes only metrics, so at-least-once is enough. It keeps no ratings: a review whose rating is no longer in Redis
counts as `unrated`.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from schemas.feedback import parse_feedback
from worker.backoff import Backoff
from worker.errors import ServiceError
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics

_MOST_RECORDS: Final = 500
_POLL_S: Final = 1.0


class FeedbackSource(Protocol):
    """Where feedback comes from."""

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        """Return the values of new records, and commit those of the call before.

        Raises:
            ServiceError: the client gave up; it connects again at the next call.
        """


class Ratings(Protocol):
    """Looks ratings up."""

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return the model version and stars of each id that has a rating.

        Raises:
            ServiceError: the store does not answer.
        """


class Feedback:
    """Counts how the ratings compare with the authors' own stars; asks for the serving model's labels each time."""

    def __init__(
        self,
        source: FeedbackSource,
        ratings: Ratings,
        labels: Callable[[], Iterable[int] | Iterable[str]],
        *,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        self._source = source
        self._ratings = ratings
        self._labels = labels
        self._models = metrics.models
        self._health = health
        self._log = log
        self._waiting: Sequence[bytes | None] = ()  # read, but not counted because Redis did not answer

    def start(self, stop: threading.Event) -> None:
        """Read from a daemon thread until `stop`."""
        threading.Thread(target=self._read, args=(stop,), name="feedback", daemon=True).start()

    def _read(self, stop: threading.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                self.step()
                backoff.reset()
            except ServiceError as error:
                self._stuck(str(error), stop, backoff)
            except Exception as error:  # noqa: BLE001  (the thread must survive; these records are skipped)
                self._waiting = ()
                self._stuck(f"{type(error).__name__}: {error}", stop, backoff)
            else:
                self._health.note("feedback", None)

    def _stuck(self, reason: str, stop: threading.Event, backoff: Backoff) -> None:
        if "feedback" not in self._health.notes:
            self._log(logging.WARNING, "feedback_waiting", reason=reason)
        self._health.note("feedback", reason)
        stop.wait(backoff.next_s())

    def step(self) -> None:
        """Count the records that have arrived since the last call.

        Raises:
            ServiceError: Kafka or Redis does not answer; the records are counted by a later call.
        """
        self._waiting = self._waiting or self._source.poll(_MOST_RECORDS, _POLL_S)
        labels = frozenset(label for label in self._labels() if isinstance(label, int))
        usable: list[tuple[str, int]] = []
        for feedback in map(parse_feedback, self._waiting):
            label = feedback.label(labels) if feedback else None
            if feedback is not None and label is not None:
                usable.append((feedback.review_id, label))
        known = self._ratings.find([review_id for review_id, _ in usable]) if usable else {}
        self._models.feedback.labels("unusable").inc(len(self._waiting) - len(usable))
        self._waiting = ()
        self._models.feedback.labels("unrated").inc(sum(review_id not in known for review_id, _ in usable))
        joined = Counter((*known[review_id], score) for review_id, score in usable if review_id in known)
        for (version, rating, score), count in joined.items():
            self._models.count_feedback(version, rating, score, count)
