"""The metrics of models: reload, shadow, canary, feedback, drift.

Owns their names and label sets, as `worker.ops.metrics` does for the rest; `Metrics.models` is an instance of it. The
version is a label here, so the series of all but the last few versions are removed. (prometheus-client cannot remove a
series in multi-process mode; there they stay until the worker restarts.)
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry

from schemas.decision import Choices
from worker.ops.instruments import Instruments

ROLES: Final = ("stable", "candidate")
RELOAD_OUTCOMES: Final = ("served", "refused", "unreachable")
SHADOW_ERRORS: Final = ("model", "topic", "dropped")
GIVEN_BY: Final = ("both", "stable", "shadow")
RETURN_REASONS: Final = ("disagreement", "errors")
FEEDBACK_OUTCOMES: Final = ("counted", "unrated", "unusable")
DRIFT_FEATURES: Final = ("stars", "labels", "confidence", "length", "unknown_words", "script")
VERSIONS_KEPT: Final = 6  # stable, the previous one, candidate, and three older ones

_WORK_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LOAD_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SHARES: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_STARS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4)


class ModelMetrics:
    """The instruments, registered once in the registry given.

    Args:
        registry: where they are registered.
        by_version: further instruments with the label `model_version`, whose old series are removed too.
    """

    def __init__(self, registry: CollectorRegistry, by_version: Sequence[Any] = ()) -> None:
        made = Instruments(registry)
        counter, gauge, histogram = made.counter, made.gauge, made.histogram
        version = "model_version"
        self.reloads = counter(
            "model_reloads_total", "Moves of a channel, and failed checks of the registry.", "role", "outcome"
        )
        self.load_seconds = histogram(
            "model_load_seconds", "Time to fetch, verify and warm up a bundle, on a thread of its own.", _LOAD_S
        )
        self.refused = gauge("model_refused", "1 while a channel names a version that is refused.", "livemax", "role")
        self.registry_reachable = gauge("registry_reachable", "1 while the registry's channels can be read.", "livemin")
        self.shadow_info = gauge("shadow_info", "1 for the version that runs in shadow.", "livemax", version)
        self.shadow_matrix = counter(
            "shadow_reviews_total",
            "Reviews rated by the stable and the shadow model, by the stars of both.",
            version,
            "stable_rating",
            "shadow_rating",
        )
        self.shadow_labels = counter(
            "shadow_labels_total", "Labels given by both models, or by one of them only.", version, "label", "given_by"
        )
        self.shadow_agreed = counter(
            "shadow_agreed_total",
            "Reviews with the same stars, or all the same labels, by the stable and the shadow model.",
            version,
        )
        self.shadow_difference = histogram(
            "shadow_expected_difference",
            "Absolute difference of the expected stars of the stable and the shadow model.",
            _STARS,
            version,
        )
        self.shadow_confidence = histogram(
            "shadow_confidence", "Calibrated probability of the label the shadow model gives.", _SHARES, version
        )
        self.shadow_seconds = histogram("shadow_seconds", "Time of the shadow model for a chunk of a batch.", _WORK_S)
        self.shadow_errors = counter(
            "shadow_errors_total", "Failures of the shadow model and its topic.", "kind", values=SHADOW_ERRORS
        )
        self.canary_share = gauge("canary_share", "Share of reviews that get the candidate's rating.", "livemax")
        self.canary_returns = counter("canary_returns_total", "Canaries that ended.", "reason", values=RETURN_REASONS)
        self.feedback = counter("feedback_total", "Authors' own stars received.", "outcome", values=FEEDBACK_OUTCOMES)
        self.feedback_matrix = counter(
            "feedback_reviews_total", "Ratings with the author's own stars, by both.", version, "rating", "score"
        )
        self.feedback_correct = counter("feedback_correct_total", "Ratings equal to the author's own stars.", version)
        self.feedback_error = counter(
            "feedback_error_stars_total", "Sum of the differences between ratings and the authors' own stars.", version
        )
        self.mismatches = counter(
            "mismatches_total", "Ratings whose author's stars contradict the text, by the bundle's rule.", version
        )
        self.drift = gauge(
            "drift_psi", "Population stability index against the bundle's baseline.", "livemax", version, "feature"
        )
        self.drift_reviews = gauge("drift_window_reviews", "Reviews in the window for drift.", "livesum", version)
        self._by_version = (
            *by_version,
            self.shadow_info,
            self.shadow_matrix,
            self.shadow_labels,
            self.shadow_agreed,
            self.shadow_difference,
            self.shadow_confidence,
            self.feedback_matrix,
            self.feedback_correct,
            self.feedback_error,
            self.mismatches,
            self.drift,
            self.drift_reviews,
        )
        self._versions: deque[str] = deque()
        self._start_at_zero()

    def start_serving(self, version: str, labels: Sequence[int] | Sequence[str]) -> None:
        """Start the label sets of a version whose ratings are published at 0."""
        self._remember(version)
        self.feedback_correct.labels(version)
        self.feedback_error.labels(version)
        self.mismatches.labels(version)
        stars = [label for label in labels if isinstance(label, int)]
        for rating in stars:
            for score in stars:
                self.feedback_matrix.labels(version, str(rating), str(score))

    def start_shadow(self, version: str, labels: Sequence[int] | Sequence[str]) -> None:
        """Show the candidate that runs in shadow, and start its label sets at 0."""
        self.start_serving(version, labels)  # a canary publishes ratings
        self.shadow_info.labels(version).set(1)
        for instrument in (self.shadow_agreed, self.shadow_difference, self.shadow_confidence):
            instrument.labels(version)
        stars = [label for label in labels if isinstance(label, int)]
        for stable in stars:
            for shadow in stars:
                self.shadow_matrix.labels(version, str(stable), str(shadow))
        for label in labels if not stars else ():
            for given_by in GIVEN_BY:
                self.shadow_labels.labels(version, str(label), given_by)

    def count_shadow(
        self, version: str, labels: Sequence[int] | Sequence[str], stable: Choices, shadow: Choices, agreed: int
    ) -> None:
        """Count reviews that both models rated: what each chose, and of how many they chose the same."""
        self.shadow_agreed.labels(version).inc(agreed)
        if stable.ndim == 2:
            for given_by, marks in zip(GIVEN_BY, (stable & shadow, stable & ~shadow, shadow & ~stable), strict=True):
                for label, count in zip(labels, marks.sum(axis=0).tolist(), strict=True):
                    self.shadow_labels.labels(version, str(label), given_by).inc(count)
            return
        size = len(labels)
        cells = np.bincount(stable * size + shadow, minlength=size * size)
        for cell in np.flatnonzero(cells).tolist():
            row, column = divmod(cell, size)
            self.shadow_matrix.labels(version, str(labels[row]), str(labels[column])).inc(int(cells[cell]))

    def count_feedback(self, version: str, rating: int, score: int, count: int = 1) -> None:
        """Count reviews with this rating whose author gave `score` stars."""
        self.feedback.labels("counted").inc(count)
        self.feedback_matrix.labels(version, str(rating), str(score)).inc(count)
        self.feedback_correct.labels(version).inc(count if rating == score else 0)
        self.feedback_error.labels(version).inc(count * abs(rating - score))

    def _remember(self, version: str) -> None:
        """Keep a version's series, and remove those of the oldest versions."""
        if version in self._versions:
            self._versions.remove(version)
        self._versions.append(version)
        while len(self._versions) > VERSIONS_KEPT:
            self._forget(self._versions.popleft())

    def _start_at_zero(self) -> None:
        for role in ROLES:
            self.refused.labels(role).set(0)
            for outcome in RELOAD_OUTCOMES:
                self.reloads.labels(role, outcome)
        self.registry_reachable.set(1)

    def _forget(self, version: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in multi-process mode prometheus-client only warns
            for instrument in self._by_version:
                instrument.remove_by_labels({"model_version": version})
