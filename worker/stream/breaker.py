"""The dead-letter breaker: a bad deploy upstream must not drain the topic into the dead letters.

Owns the rule, and what it says when it opens. Asked before a batch is published, so the records that open it stay in
the input topic. Pure.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Final

from schemas.dead_letter import RejectReason
from worker.records import Outcome, Partition, Rejected

_LEAST_RECORDS: Final = 100  # a share of fewer says nothing
_MOST_REASONS: Final = 3  # shown with an example
_MOST_MESSAGE_CHARS: Final = 300
_MOST_PARTITIONS: Final = 5


class Breaker:
    """Counts rejections among the last records.

    Args:
        share: opens when more than this share of the window is rejected; 1 never opens.
        window_records: how many of the last records count.
        consecutive: opens when this many in a row are rejected; 0 never opens.
    """

    def __init__(self, *, share: float, window_records: int, consecutive: int) -> None:
        self._share = share
        self._consecutive = consecutive
        self._window: deque[RejectReason | None] = deque(maxlen=window_records)  # None: not rejected
        self._row = 0
        self._before = (self._window, self._row)

    def opens(self, outcomes: Sequence[Outcome], *, again: bool = False) -> str | None:
        """Count a batch that is about to be published; return why it must not be, or None.

        The reason counts the rejections by kind, each with the message of one; messages never hold a review's text.
        `again` says that the breaker stopped an earlier run at this batch: then it need not see as many records again,
        or each restart would send some of them to the dead letters.
        """
        self._before = (self._window.copy(), self._row)
        longest = self._count(outcomes)
        if self._consecutive and longest >= self._consecutive:
            rule = f"{longest} records in a row cannot be rated (WORKER_BREAKER_CONSECUTIVE={self._consecutive})"
            return f"{rule}: {self._kinds(outcomes)}"
        now = sum(isinstance(outcome, Rejected) for outcome in outcomes)
        is_on = self._share < 1 or self._consecutive > 0
        if again and is_on and outcomes and (now > self._share * len(outcomes) or now == len(outcomes)):
            return f"{now} of {len(outcomes)} records still cannot be rated: {self._kinds(outcomes)}"
        seen = len(self._window)
        wrong = seen - self._window.count(None)
        if seen >= min(_LEAST_RECORDS, self._window.maxlen or _LEAST_RECORDS) and wrong > self._share * seen:
            rule = f"{wrong} of the last {seen} records cannot be rated (WORKER_BREAKER_SHARE={self._share})"
            return f"{rule}: {self._kinds(outcomes)}"
        return None

    def _count(self, outcomes: Sequence[Outcome]) -> int:
        """Count outcomes in the window, and return the most in a row that were rejected."""
        if outcomes and Rejected not in set(map(type, outcomes)):  # nearly always
            self._window.extend(repeat(None, len(outcomes)))
            self._row = 0
            return 0
        longest = 0
        for outcome in outcomes:
            reason = outcome.letter.reason if isinstance(outcome, Rejected) else None
            self._window.append(reason)
            self._row = self._row + 1 if reason else 0
            longest = max(longest, self._row)
        return longest

    def undo(self) -> None:
        """Take back the last batch: a service failed, and its records will be counted when they come again."""
        self._window, self._row = self._before

    def _kinds(self, outcomes: Sequence[Outcome]) -> str:
        """Return the reasons in the window or a larger batch, most frequent first, each with a message of the batch."""
        reasons = [outcome.letter.reason if isinstance(outcome, Rejected) else None for outcome in outcomes]
        counted = Counter(self._window if len(self._window) >= len(outcomes) else reasons)
        del counted[None]
        examples = {
            outcome.letter.reason: outcome.letter.message
            for outcome in reversed(outcomes)
            if isinstance(outcome, Rejected)
        }
        kinds = []
        for reason, count in counted.most_common(_MOST_REASONS):
            example = examples.get(reason) if reason else None
            kinds.append(f"{count} {reason}" + (f" ({example[:_MOST_MESSAGE_CHARS]})" if example else ""))
        return ", ".join(kinds)


def what_to_do(reason: str, positions: Mapping[Partition, int], *, again: bool) -> str:
    """Return what an operator reads when the breaker has opened.

    Args:
        reason: from `Breaker.opens`.
        positions: from where on the records are still in the input topic.
        again: whether an earlier start stopped at the same records.
    """
    first = [f"{at.topic}-{at.partition}@{offset}" for at, offset in sorted(positions.items())[:_MOST_PARTITIONS]]
    more = f" and {len(positions) - len(first)} more partitions" if len(positions) > len(first) else ""
    same = "; an earlier start stopped at the same records, so a restart alone does not help" if again else ""
    return (
        f"dead-letter breaker: {reason}. Nothing of this batch is lost or dead-lettered: it is still in the input "
        f"topic, from {', '.join(first)}{more} on{same}. `starstream-worker dlq held` shows it. Change the producer or "
        "the setting that is named, or send it to the dead-letter topic with WORKER_BREAKER_SHARE=1 and "
        "WORKER_BREAKER_CONSECUTIVE=0; then restart"
    )
