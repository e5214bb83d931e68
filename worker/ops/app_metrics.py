"""The metrics of apps that an operator has named (WORKER_APP_METRICS): for alerts about a product, not about workers.

Owns their names and label sets. The apps are few and named, because each is series of its own in Prometheus; summaries
and trends of all apps are in Redis. Of an app's versions the newest have series, the others are one. A review that is
rated again counts again, as in every other counter here.
"""

from __future__ import annotations

import re
from collections import Counter as Counts
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry

from schemas.rating import LABELS, Rating
from worker.ops.instruments import Instruments
from worker.records import Rated

MARKS: Final = ("uncertain", "mismatch")
OTHER: Final = "other"  # versions that are not among the newest
UNKNOWN: Final = "unknown"  # reviews that do not say theirs
_LONGEST: Final = 64  # characters of a version that is a label
_TURNS: Final = 20  # so many times the versions kept may have had series, until the process starts again
_NUMBERS: Final = re.compile(r"[0-9]{1,18}")


class NewestVersions:
    """The newest versions of an app, in the order of their numbers, so that a new release has series at once.

    A version that was among them keeps its series: prometheus-client's multi-process mode cannot remove one. So there
    is a limit to how many ever were, for a producer that sends a greater number with every review.

    Args:
        most: how many count as the newest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._turns = most * _TURNS
        self._newest: dict[str, tuple[int, ...]] = {}

    def label(self, version: str) -> str:
        """Return what a review of this version counts as; an empty one is not known."""
        if not version:
            return UNKNOWN
        if version in self._newest:
            return version
        if len(version) > _LONGEST or not self._turns:
            return OTHER
        number = _number(version)
        if len(self._newest) >= self._most:
            oldest = min(self._newest, key=self._newest.__getitem__)
            if number <= self._newest[oldest]:
                return OTHER
            del self._newest[oldest]
        self._newest[version] = number
        self._turns -= 1
        return version


@lru_cache(maxsize=1024)  # reviews have the same few versions again and again
def _number(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by: 4.10.0 is newer than 4.9.2."""
    return tuple(map(int, _NUMBERS.findall(version)))


class AppMetrics:
    """The instruments, registered once in the registry given.

    Attributes:
        apps: that are counted; nothing is counted of others.
        newest_versions: how many versions of each have series of their own; 0: no series by version.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Instruments(registry)
        self.apps: frozenset[str] = frozenset()
        self.newest_versions = 0
        self._versions: dict[str, NewestVersions] = {}
        self.ratings = made.counter("app_ratings_total", "Ratings of an app, by stars.", "app_id", "rating")
        self.labels = made.counter("app_labels_total", "Labels given to an app's reviews.", "app_id", "label")
        self.stars = made.counter("app_stars_total", "Sum of the stars of an app's ratings.", "app_id")
        self.marks = made.counter(
            "app_marked_total", "Ratings of an app that are uncertain, or contradict the author.", "app_id", "mark"
        )
        of = ("app_id", "app_version")
        self.version_ratings = made.counter("app_version_ratings_total", "Ratings with stars, by app and version.", *of)
        self.version_stars = made.counter("app_version_stars_total", "Sum of their stars, by app and version.", *of)

    def start(self, labels: Sequence[int] | Sequence[str]) -> None:
        """Start the label sets of the apps at 0."""
        for app in self.apps:
            self.stars.labels(app)
            for label in labels:
                if isinstance(label, str):
                    self.labels.labels(app, label)
                self.ratings.labels(app, LABELS if isinstance(label, str) else str(label))
            for mark in MARKS:
                self.marks.labels(app, mark)

    def count(self, rated: Sequence[Rated]) -> None:
        """Count committed ratings."""
        if not self.apps:
            return
        ours = [review.rating for review in rated if review.rating.app_id in self.apps]
        for (app, rating), count in Counts((str(one.app_id), one.rating) for one in ours).items():
            self.ratings.labels(app, LABELS if rating is None else str(rating)).inc(count)
            self.stars.labels(app).inc(max(0, rating or 0) * count)  # a counter never falls, whatever the labels are
        for (app, name), count in Counts((str(one.app_id), name) for one in ours for name in one.labels or ()).items():
            self.labels.labels(app, name).inc(count)
        for (app, mark), count in Counts(
            (str(one.app_id), mark) for one in ours for mark in MARKS if getattr(one, mark)
        ).items():
            self.marks.labels(app, mark).inc(count)
        if self.newest_versions:
            self._count_versions([one for one in ours if one.rating is not None])

    def _count_versions(self, rated: Sequence[Rating]) -> None:
        counts = Counts((str(one.app_id), one.app_version or "", one.rating or 0) for one in rated)
        ratings: Counts[tuple[str, str]] = Counts()
        stars: Counts[tuple[str, str]] = Counts()
        for app, version, rating in sorted(counts, key=lambda of: _number(of[1]), reverse=True):  # the newest first
            versions = self._versions.setdefault(app, NewestVersions(self.newest_versions))
            of, count = (app, versions.label(version)), counts[app, version, rating]
            ratings[of] += count
            stars[of] += max(0, rating) * count
        for of, count in ratings.items():
            self.version_ratings.labels(*of).inc(count)
            self.version_stars.labels(*of).inc(stars[of])
