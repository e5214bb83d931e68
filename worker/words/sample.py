"""The reviews of an app in a period, by the ratings topic: the latest rating of each, at most a given number.

Owns the sample: reviews are kept by a hash of their id, and when there are too many, half of them are dropped, evenly.
So memory is bounded, and a review that was rated twice counts once.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.output.review_time import review_time_s
from schemas.rating import Rating
from worker.words.period import By, Period, groups_of


class Kept(NamedTuple):
    """What is kept of a rating."""

    topic: str
    partition: int
    offset: int
    at_s: float
    recent: bool
    groups: tuple[str, ...]
    stars: int | None
    author: float | None
    mismatch: bool


@dataclass
class Sample:
    """Takes the ratings of an app in the order of the topic.

    Attributes:
        kept: by review id.
        one_in: how many reviews stand behind each.
    """

    app: str
    period: Period
    by: By
    most: int
    kept: dict[str, Kept] = field(default_factory=dict)
    one_in: int = 1

    def add(self, rating: Rating) -> None:
        """Take a rating; it replaces the one before of its review."""
        if rating.app_id != self.app or not self._is_picked(rating.review_id):
            return
        self.kept.pop(rating.review_id, None)
        at_s = review_time_s(rating)
        recent = None if at_s is None else self.period.is_recent(at_s)
        if at_s is None or recent is None:
            return
        source = rating.source
        self.kept[rating.review_id] = Kept(
            source.topic, source.partition, source.offset, at_s, recent,
            groups_of(rating, self.by, at_s), rating.rating, rating.author_score, bool(rating.mismatch),
        )  # fmt: skip
        while len(self.kept) > self.most:
            self.one_in *= 2
            self.kept = {name: kept for name, kept in self.kept.items() if self._is_picked(name)}

    def remove(self, review_id: str) -> None:
        """Forget a review that was deleted."""
        self.kept.pop(review_id, None)

    def _is_picked(self, review_id: str) -> bool:
        return zlib.crc32(review_id.encode("utf-8", "surrogatepass")) % self.one_in == 0
