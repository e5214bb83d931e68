"""Drift: how far the stream's reviews have moved from the held-out texts in the bundle's baseline, per version.

Owns one window of observations for each version that rates. A batch that is read again after an outage counts twice;
in a window of thousands of reviews that moves no index. Memory is bounded by blocks, not by reviews. Not thread-safe:
used by the loop only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.decision import Choices
from schemas.drift import SCRIPT_BINS, Counts, histogram, stability_index
from schemas.encoding import Ids
from schemas.manifest import Manifest
from worker.clock import Clock
from worker.model.classifier import TfliteClassifier
from worker.ops.metrics import Metrics
from worker.ops.model_metrics import DRIFT_FEATURES

_BLOCKS: Final = 20  # the window moves on by a twentieth at a time


@dataclass(frozen=True, slots=True)
class Observation:
    """N reviews as one model sees them."""

    choices: Choices  # what was decided of each
    confidences: npt.NDArray[np.floating]  # `float[N]`
    lengths: npt.NDArray[np.int64]  # `int64[N]`, tokens
    unknown: int  # how many of all tokens are not in the model's table
    scripts: Counts  # reviews by `SCRIPT_BINS`


def observation_of(
    classifier: TfliteClassifier,
    rows: Sequence[Ids],
    choices: Choices,
    confidences: npt.NDArray[np.floating],
    scripts: Counts,
) -> Observation:
    """Return the observation of N reviews that a classifier has rated, from their ids, `int32[n]` each."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    return Observation(choices, confidences, lengths, classifier.unknown_tokens(rows), scripts)


@dataclass(slots=True)
class _Block:
    since_s: float
    reviews: int
    features: dict[str, Counts]


class Drift:
    """Keeps a window for each version that rates, and sets its drift metrics.

    Args:
        reviews: most reviews in the window, rounded up to whole blocks.
        seconds: longest age of a review in the window.
        min_reviews: no index on fewer; by chance alone it is about bins / reviews.
    """

    def __init__(self, metrics: Metrics, clock: Clock, *, reviews: int, seconds: float, min_reviews: int) -> None:
        self._models = metrics.models
        self._clock = clock
        self._reviews = reviews
        self._seconds = seconds
        self._min_reviews = min_reviews
        self._windows: dict[str, deque[_Block]] = {}

    def keep(self, versions: Collection[str]) -> None:
        """Drop the windows of all other versions, and set their metrics to 0."""
        for version in self._windows.keys() - set(versions):
            for feature in DRIFT_FEATURES:
                self._models.drift.labels(version, feature).set(0)
            self._models.drift_reviews.labels(version).set(0)
            del self._windows[version]

    def observe(self, manifest: Manifest, observation: Observation) -> None:
        """Count the observation in its version's window; the metrics change when a block is full."""
        reviews = len(observation.choices)
        if not reviews:
            return
        window = self._windows.setdefault(manifest.version, deque())
        now = self._clock.monotonic()
        last = window[-1] if window else None
        features = _count(manifest, observation)
        if last is None or self._is_full(last, now):
            if last is not None:
                self._set_metrics(manifest, window)
            window.append(_Block(now, reviews, features))
        else:
            last.reviews += reviews
            for feature, counts in features.items():
                last.features[feature] = last.features[feature] + counts
        while len(window) > 1 and (
            sum(block.reviews for block in window) - window[0].reviews >= self._reviews
            or now - window[0].since_s > self._seconds
        ):
            window.popleft()

    def _is_full(self, block: _Block, now: float) -> bool:
        return block.reviews >= self._reviews / _BLOCKS or now - block.since_s >= self._seconds / _BLOCKS

    def _set_metrics(self, manifest: Manifest, window: Collection[_Block]) -> None:
        version, reviews = manifest.version, sum(block.reviews for block in window)
        self._models.drift_reviews.labels(version).set(reviews)
        for feature, expected in _baseline_shares(manifest).items():
            counts = np.sum([block.features[feature] for block in window], axis=0)
            if reviews >= self._min_reviews and len(expected) == len(counts):  # other bins cannot be compared
                self._models.drift.labels(version, feature).set(stability_index(expected, counts))


def _count(manifest: Manifest, observation: Observation) -> dict[str, Counts]:
    baseline, tokens = manifest.baseline, int(observation.lengths.sum())
    return {
        manifest.task: manifest.decision.counts(observation.choices),
        "confidence": histogram(observation.confidences, baseline.confidence_edges),
        "length": histogram(observation.lengths, baseline.length_edges),
        "unknown_words": np.array([tokens - observation.unknown, observation.unknown]),
        "script": observation.scripts,
    }


def _baseline_shares(manifest: Manifest) -> Mapping[str, list[float]]:
    """Return the shares to compare with, by feature; empty where the bundle has none."""
    baseline, scripts = manifest.baseline, manifest.baseline.script_shares
    return {
        manifest.task: baseline.rating_shares,
        "confidence": baseline.confidence_shares,
        "length": baseline.length_shares,
        "unknown_words": [1 - baseline.unknown_ratio, baseline.unknown_ratio],
        "script": [scripts.get(name, 0.0) for name in SCRIPT_BINS] if scripts else [],
    }
