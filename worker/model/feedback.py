"""Authors' stars that come later: a topic of `{"review_id", "score"}`, joined by id with the rating in Redis.

Owns a consumer of its own, in a group of its own, on a thread of its own, with a Redis connection of its own. That is
the simplest way that cannot harm the stream: it may be slow, fail or lag, and no review waits. What it makes is
metrics, so at least once is enough, and nothing is kept here: Redis is the memory, and a rating that is not there is
`unrated`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from worker.backoff import Backoff
from worker.errors import ServiceError
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics

_MOST_RECORDS: Final = 500
_POLL_S: Final = 1.0


class Opinions(Protocol):
    """Where feedback comes from."""

    def poll(self, most: int, timeout_s: float) -> Sequence[bytes | None]:
        """Return the values of new records, and commit those of the call before.

        Raises:
            ServiceError: the client gave up; it connects again at the next call.
        """
        ...


class Ratings(Protocol):
    """Where ratings are looked up."""

    def find(self, review_ids: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """Return the version and stars of each id that is there.

        Raises:
            ServiceError: the store is away.
        """
        ...


class Feedback:
    """Counts how right the ratings were.

    Args:
        opinions: the topic.
        ratings: the store.
        labels: the stars there are, asked at each batch.
        metrics: takes the counts.
        health: says when it is stuck.
        log: and tells it.
    """

    def __init__(
        self,
        opinions: Opinions,
        ratings: Ratings,
        labels: Callable[[], Iterable[int]],
        *,
        metrics: Metrics,
        health: Health,
        log: Log,
    ) -> None:
        self._opinions = opinions
        self._ratings = ratings
        self._labels = labels
        self._models = metrics.models
        self._health = health
        self._log = log
        self._waiting: Sequence[bytes | None] = ()  # read, and not counted since Redis was away

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
            except Exception as error:  # noqa: BLE001  (a thread that dies is silence; what it stumbled on is left out)
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
        """Count what has come since.

        Raises:
            ServiceError: Kafka or Redis is away; nothing of it is counted, and it is tried again.
        """
        self._waiting = self._waiting or self._opinions.poll(_MOST_RECORDS, _POLL_S)
        labels = frozenset(self._labels())
        said = [parse_feedback(value, labels) for value in self._waiting]
        known = self._ratings.find([each[0] for each in said if each]) if any(said) else {}
        self._waiting = ()
        self._models.feedback.labels("unusable").inc(said.count(None))
        usable = [each for each in said if each is not None]
        self._models.feedback.labels("unrated").inc(sum(review_id not in known for review_id, _ in usable))
        joined = Counter((*known[review_id], score) for review_id, score in usable if review_id in known)
        for (version, rating, score), count in joined.items():
            self._models.count_feedback(version, rating, score, count)


def parse_feedback(value: bytes | None, labels: frozenset[int]) -> tuple[str, int] | None:
    """Return the id and the stars of a record; None when it is no `{"review_id": text, "score": one of the labels}`."""
    try:
        found: Any = json.loads(value or b"")
    except ValueError:  # not UTF-8 is one, too
        return None
    if not isinstance(found, dict):
        return None
    review_id, score = found.get("review_id", found.get("reviewId")), found.get("score")
    if not isinstance(review_id, str) or not review_id or isinstance(score, bool):
        return None
    if not isinstance(score, int | float) or score not in labels:
        return None
    return review_id, int(score)
