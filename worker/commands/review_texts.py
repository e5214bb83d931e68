"""Looks up the reviews behind ratings, in the input topic, by the positions that the ratings name.

Owns its connection. `watch --with-text` and `explain --id` use it.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from schemas.rating import SourcePosition
from schemas.review import Review
from worker.clock import SystemClock
from worker.errors import ServiceError
from worker.kafka.offset_range import Point, Span
from worker.kafka.python.topics import Topics
from worker.records import Partition, Pending, Rejected
from worker.settings import WorkerSettings
from worker.wiring import make_parser

GONE: Final = "the topic no longer has the review"


class ReviewTexts:
    """Finds reviews by position; `close` it.

    Raises:
        ServiceError: in every method: the brokers do not answer.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._topics = Topics(settings, SystemClock())
        self._parser = make_parser(settings)

    def close(self) -> None:
        """Close the connection."""
        self._topics.close()

    @cache  # noqa: B019 - as long as the command runs
    def _partitions_of(self, topic: str) -> list[Partition]:
        return self._topics.partitions(topic)

    def find(self, at: SourcePosition) -> Review | str:
        """Return the review at a position, or in words why there is none."""
        partition, span = Partition(at.topic, at.partition), Span(at.offset, at.offset + 1)
        if partition not in self._partitions_of(at.topic):  # to ask for its offsets would wait for it
            return GONE
        log = self._topics.spans([partition], Point("offset", span.start), Point("offset", span.end))[partition]
        record = next(iter(self._topics.read(partition, log)), None) if log.size else None
        if record is None or record.value is None or record.offset != at.offset:
            return GONE
        try:
            outcome = self._parser.parse(record, "")
        except ServiceError as error:  # the schema registry
            return str(error)
        if isinstance(outcome, Rejected):
            return outcome.letter.reason
        return outcome.review if isinstance(outcome, Pending) else "deleted"
