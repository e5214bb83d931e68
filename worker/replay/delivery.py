"""The Delivery port of a replay: the worker's own, except that dead letters are counted, not sent again.

Owns the count of outcomes and how far each partition is committed. Records that history could not rate went to the
dead-letter topic when they were live; a second dead letter would be sent back twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from typing_extensions import override

from worker.records import NAME_OF_OUTCOME, Outcome, OutcomeName, Partition, Rejected
from worker.stream.ports import Delivery


class ReplayDelivery(Delivery):
    """Publishes ratings and tombstones, commits, and counts. One thread only.

    Args:
        committed: the offsets of each partition before this run.
    """

    def __init__(self, inner: Delivery, committed: Mapping[Partition, int]) -> None:
        self._inner = inner
        self.committed = dict(committed)
        self.outcomes: Counter[OutcomeName] = Counter()
        self.reasons: Counter[str] = Counter()
        self._prepared: tuple[Sequence[Outcome], Mapping[Partition, int]] = ((), {})

    @override
    def prepare(self, outcomes: Sequence[Outcome], offsets: Mapping[Partition, int]) -> None:
        self._inner.prepare([outcome for outcome in outcomes if not isinstance(outcome, Rejected)], offsets)
        self._prepared = outcomes, offsets

    @override
    def commit(self) -> None:
        outcomes, offsets = self._prepared
        self._inner.commit()
        self.committed |= offsets
        self.outcomes.update(NAME_OF_OUTCOME[type(outcome)] for outcome in outcomes)
        self.reasons.update(outcome.letter.reason for outcome in outcomes if isinstance(outcome, Rejected))

    @override
    def abort(self) -> None:
        self._inner.abort()

    @override
    def ping(self) -> None:
        self._inner.ping()

    @override
    def close(self, timeout_s: float) -> None:
        self._inner.close(timeout_s)
