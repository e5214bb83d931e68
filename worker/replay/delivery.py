"""The Delivery port of a replay: the worker's own, but dead letters are counted, not sent again.

Owns the count of outcomes and how far each partition is committed. What history could not rate lies in the
dead-letter topic since it was live; a second letter would be replayed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from worker.records import NAME_OF_OUTCOME, Outcome, OutcomeName, Partition, Rejected
from worker.stream.ports import Delivery, nothing


class ReplayDelivery:
    """Publishes ratings and tombstones, commits, and counts. One thread only.

    Args:
        inner: publishes and commits.
        committed: where each partition stood before this run.
    """

    def __init__(self, inner: Delivery, committed: Mapping[Partition, int]) -> None:
        self._inner = inner
        self.committed = dict(committed)
        self.outcomes: Counter[OutcomeName] = Counter()
        self.reasons: Counter[str] = Counter()

    def commit(
        self, settled: Sequence[Outcome], offsets: Mapping[Partition, int], stored: Callable[[], None] = nothing
    ) -> None:
        """Publish all but dead letters, commit the offsets, and return once both are durable.

        Raises:
            ServiceError: the offsets are not committed; the caller rewinds.
        """
        self._inner.commit([each for each in settled if not isinstance(each, Rejected)], offsets, stored)
        self.committed |= offsets
        self.outcomes.update(NAME_OF_OUTCOME[type(each)] for each in settled)
        self.reasons.update(each.letter.reason for each in settled if isinstance(each, Rejected))

    def ping(self) -> None:
        """Return if the brokers answer and the topics can be written.

        Raises:
            ServiceError: they do not.
        """
        self._inner.ping()

    def close(self, timeout_s: float) -> None:
        """Give the client back."""
        self._inner.close(timeout_s)
