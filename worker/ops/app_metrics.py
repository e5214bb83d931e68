"""The metrics of apps that an operator has named (WORKER_APP_METRICS): for alerts about a product, not about workers.

Owns their names and label sets. The apps are few and named, because each is series of its own in Prometheus; summaries
of all apps are in Redis. A review that is rated again counts again, as in every other counter here.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry

from schemas.rating import LABELS
from worker.ops.instruments import Instruments
from worker.records import Rated

MARKS: Final = ("uncertain", "mismatch")


class AppMetrics:
    """The instruments, registered once in the registry given.

    Attributes:
        apps: that are counted; nothing is counted of others.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Instruments(registry)
        self.apps: frozenset[str] = frozenset()
        self.ratings = made.counter("app_ratings_total", "Ratings of an app, by stars.", "app_id", "rating")
        self.labels = made.counter("app_labels_total", "Labels given to an app's reviews.", "app_id", "label")
        self.stars = made.counter("app_stars_total", "Sum of the stars of an app's ratings.", "app_id")
        self.marks = made.counter(
            "app_marked_total", "Ratings of an app that are uncertain, or contradict the author.", "app_id", "mark"
        )

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
