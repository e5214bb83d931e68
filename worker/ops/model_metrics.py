"""The metrics that compare models: reloads, shadow and canary, feedback, drift.

Owns their names and label sets, as `metrics` does for the rest; `Metrics.models` is this. A version is a label here,
and versions come and go, so all but the last few are taken off the page again. (In multi-process mode prometheus-client
cannot take a series off; there they stay until the worker restarts.)
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from worker.ops.batch_histogram import BatchHistogram

ROLES: Final = ("stable", "candidate")
RELOAD_OUTCOMES: Final = ("served", "refused", "unreachable")
SHADOW_ERRORS: Final = ("model", "topic", "dropped")
RETURN_REASONS: Final = ("disagreement", "errors")
FEEDBACK_OUTCOMES: Final = ("counted", "unrated", "unusable")
DRIFT_FEATURES: Final = ("stars", "confidence", "length", "unknown_words", "script")
VERSIONS_KEPT: Final = 6  # stable, the one before, candidate, and some to look back at

_WORK_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LOAD_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SHARES: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_STARS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4)


class ModelMetrics:
    """The instruments, registered once in the registry given.

    Args:
        registry: where they are registered.
        by_version: instruments of others with the label `model_version`, taken off the page with ours.
    """

    def __init__(self, registry: CollectorRegistry, by_version: Sequence[Any] = ()) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"starstream_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, mode: Any, *labels: str) -> Gauge:
            return Gauge(f"starstream_{name}", text, labels, multiprocess_mode=mode, registry=registry)

        self.reloads = counter(
            "model_reloads_total", "Versions a channel moved to, by what came of it.", "role", "outcome"
        )
        self.load_seconds = Histogram(
            "starstream_model_load_seconds",
            "Fetching, verifying and warming up a bundle, beside the loop.",
            buckets=_LOAD_S,
            registry=registry,
        )
        self.refused = gauge("model_refused", "1 while a channel names a version that is refused.", "livemax", "role")
        self.registry_reachable = gauge("registry_reachable", "1 while the registry's channels can be read.", "livemin")
        self.shadow_info = gauge("shadow_info", "1 for the candidate that runs beside.", "livemax", "model_version")
        self.shadow_matrix = counter(
            "shadow_reviews_total",
            "Reviews that both models rated, by the stars of each.",
            "model_version",
            "stable_rating",
            "shadow_rating",
        )
        self.shadow_agreed = counter("shadow_agreed_total", "Of these, with the same stars.", "model_version")
        self.shadow_difference = BatchHistogram(
            "starstream_shadow_expected_difference",
            "How far apart the expected stars of both models are.",
            ["model_version"],
            buckets=_STARS,
            registry=registry,
        )
        self.shadow_confidence = BatchHistogram(
            "starstream_shadow_confidence",
            "Calibrated probability of the candidate's own rating.",
            ["model_version"],
            buckets=_SHARES,
            registry=registry,
        )
        self.shadow_seconds = Histogram(
            "starstream_shadow_seconds", "The candidate's time for one batch.", buckets=_WORK_S, registry=registry
        )
        self.shadow_errors = counter("shadow_errors_total", "What went wrong beside the stable path.", "kind")
        self.canary_share = gauge("canary_share", "Share of reviews the candidate's rating goes out for.", "livemax")
        self.canary_returns = counter("canary_returns_total", "Canaries given back to stable, by why.", "reason")
        self.feedback = counter("feedback_total", "Authors' own stars, by what became of them.", "outcome")
        self.feedback_matrix = counter(
            "feedback_reviews_total",
            "Ratings whose author's stars are known, by both.",
            "model_version",
            "rating",
            "score",
        )
        self.feedback_correct = counter("feedback_correct_total", "Of these, the right ones.", "model_version")
        self.feedback_error = counter("feedback_error_stars_total", "Sum of their errors, in stars.", "model_version")
        self.drift = gauge(
            "drift_psi",
            "Population stability index of the last reviews against the bundle's baseline.",
            "livemax",
            "model_version",
            "feature",
        )
        self.drift_reviews = gauge("drift_window_reviews", "Reviews the index is over.", "livesum", "model_version")
        self._by_version = (
            *by_version,
            self.shadow_info,
            self.shadow_matrix,
            self.shadow_agreed,
            self.shadow_difference,
            self.shadow_confidence,
            self.feedback_matrix,
            self.feedback_correct,
            self.feedback_error,
            self.drift,
            self.drift_reviews,
        )
        self._versions: deque[str] = deque()
        self._start_at_zero()

    def start_serving(self, version: str, labels: Sequence[int]) -> None:
        """Start the label sets of a version whose ratings go out at 0."""
        self._know(version)
        self.feedback_correct.labels(version)
        self.feedback_error.labels(version)
        for rating in labels:
            for score in labels:
                self.feedback_matrix.labels(version, str(rating), str(score))

    def start_shadow(self, version: str, labels: Sequence[int]) -> None:
        """Announce the candidate that runs beside, its label sets at 0."""
        self.start_serving(version, labels)  # a canary's do
        self.shadow_info.labels(version).set(1)
        for made in (self.shadow_agreed, self.shadow_difference, self.shadow_confidence):
            made.labels(version)
        for stable in labels:
            for shadow in labels:
                self.shadow_matrix.labels(version, str(stable), str(shadow))

    def count_shadow(
        self, version: str, labels: Sequence[int], stable: npt.NDArray[np.intp], shadow: npt.NDArray[np.intp]
    ) -> int:
        """Count a batch both models rated, `intp[N]` indices into the labels each; return how many agree."""
        size = len(labels)
        cells = np.bincount(stable * size + shadow, minlength=size * size)
        for cell in np.flatnonzero(cells).tolist():
            row, column = divmod(cell, size)
            self.shadow_matrix.labels(version, str(labels[row]), str(labels[column])).inc(int(cells[cell]))
        agreed = int(np.count_nonzero(stable == shadow))
        self.shadow_agreed.labels(version).inc(agreed)
        return agreed

    def count_feedback(self, version: str, rating: int, score: int, count: int = 1) -> None:
        """Count so many reviews with this rating whose author gave that many stars."""
        self.feedback.labels("counted").inc(count)
        self.feedback_matrix.labels(version, str(rating), str(score)).inc(count)
        self.feedback_correct.labels(version).inc(count if rating == score else 0)
        self.feedback_error.labels(version).inc(count * abs(rating - score))

    def _know(self, version: str) -> None:
        """Expect series of a version, and take those of the oldest off the page."""
        if version in self._versions:
            self._versions.remove(version)
        self._versions.append(version)
        while len(self._versions) > VERSIONS_KEPT:
            self._forget(self._versions.popleft())

    def _start_at_zero(self) -> None:
        known: tuple[tuple[Counter, Iterable[str]], ...] = (
            (self.shadow_errors, SHADOW_ERRORS),
            (self.canary_returns, RETURN_REASONS),
            (self.feedback, FEEDBACK_OUTCOMES),
        )
        for made, values in known:
            for value in values:
                made.labels(value)
        for role in ROLES:
            self.refused.labels(role).set(0)
            for outcome in RELOAD_OUTCOMES:
                self.reloads.labels(role, outcome)
        self.registry_reachable.set(1)

    def _forget(self, version: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # prometheus-client warns where it can not; see above
            for made in self._by_version:
                made.remove_by_labels({"model_version": version})
