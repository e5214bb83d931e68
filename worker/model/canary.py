"""The canary: which reviews get the candidate's rating, and when that ends.

Owns the choice of reviews, the count of ratings that differ from the stable model's, and the decision to end. A
candidate whose canary has ended gets no share again until the worker restarts or the channel names another version.
`worker.model.shadow` rates and compares; this module never sees a model.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Pending

REASONS_KEPT: Final = 64  # versions whose reason for ending is remembered
_HASH_SPAN: Final = 2**32


@dataclass(frozen=True, slots=True)
class Limits:
    """How many reviews the candidate rates for readers, and what ends that."""

    share: float  # of the reviews get the candidate's rating
    max_errors: int  # failures in the last 100 calls, of up to 512 reviews each, that switch the candidate off
    max_disagreement: float  # share of the window with other stars that ends the canary
    window_reviews: int  # length of the window, rounded up to whole batches
    min_reviews: int  # no decision on fewer


class Canary:
    """The canary of one worker. Not thread-safe: used by the loop only."""

    def __init__(self, limits: Limits, *, metrics: Metrics, health: Health, log: Log) -> None:
        self._limits = limits
        self._models = metrics.models
        self._health = health
        self._log = log
        self._version: str | None = None
        self._batches: deque[tuple[int, int]] = deque()  # reviews and disagreements of each batch in the window
        self._reviews = 0  # of the current batch
        self._disagreements = 0
        self._ended: dict[str, str] = {}  # version -> reason

    @property
    def share(self) -> float:
        """The share of reviews that get the candidate's rating now."""
        return 0.0 if self._version is None or self._version in self._ended else self._limits.share

    def follow(self, version: str | None) -> None:
        """Start counting afresh, for this candidate; None: there is none."""
        self._version = version
        self._batches.clear()
        self._reviews = self._disagreements = 0
        self._report()

    def pick(self, pending: Sequence[Pending]) -> list[int]:
        """Return the positions of the reviews that get the candidate's rating, ascending."""
        share = self.share
        return [at for at, review in enumerate(pending) if is_picked(review.review_id, share)] if share else []

    def count(self, reviews: int, disagreements: int) -> None:
        """Count so many reviews of the current batch, and how many of them differ from the stable model's rating."""
        self._reviews += reviews
        self._disagreements += disagreements

    def end_batch(self) -> None:
        """Move the window on by the current batch, and end the canary when too much of it disagrees.

        Only whole batches count: the loop rates one in chunks of similar length, and one chunk says nothing of the
        others' lengths.
        """
        if self._reviews == 0:
            return
        self._batches.append((self._reviews, self._disagreements))
        self._reviews = self._disagreements = 0
        reviews = sum(count for count, _ in self._batches)
        while reviews - self._batches[0][0] >= self._limits.window_reviews:
            reviews -= self._batches.popleft()[0]
        disagreements = sum(count for _, count in self._batches)
        if reviews >= self._limits.min_reviews and disagreements > self._limits.max_disagreement * reviews:
            self.end(
                "disagreement",
                f"{disagreements} of the last {reviews} reviews have other stars than with the stable model "
                f"(WORKER_CANARY_MAX_DISAGREEMENT={self._limits.max_disagreement})",
            )

    def end(self, kind: str, reason: str) -> None:
        """Give the candidate's share back to the stable model; without a share there is nothing to end."""
        version, share = self._version, self.share
        if version is None or share == 0:
            return
        remember(self._ended, version, reason)
        self._models.canary_returns.labels(kind).inc()
        self._log(logging.ERROR, "canary_returned", model_version=version, share=share, reason=reason)
        self._report()

    def _report(self) -> None:
        self._models.canary_share.set(self.share)
        reason = self._ended.get(self._version or "")
        self._health.note("canary", f"the canary of {self._version} has ended: {reason}" if reason else None)


def is_picked(review_id: str, share: float) -> bool:
    """Return whether a review is the canary's: by its id alone, so every worker agrees, also after a restart."""
    return zlib.crc32(review_id.encode("utf-8", "surrogatepass")) < share * _HASH_SPAN


def remember(reasons: dict[str, str], version: str, reason: str) -> None:
    """Add a version's reason, and drop the oldest beyond `REASONS_KEPT`."""
    reasons[version] = reason
    while len(reasons) > REASONS_KEPT:
        del reasons[next(iter(reasons))]
