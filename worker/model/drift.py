"""Drift of the stream against what a bundle's held-out texts looked like, per version, over a window.

Owns the windows. Counted when a batch is rated, so a batch that is read again after an outage counts twice: it moves
an index by nothing. Memory is bounded by blocks, not by reviews. Not thread-safe: the loop's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.drift import SCRIPT_BINS, Counts, histogram, stability_index
from schemas.manifest import DriftBaseline, Manifest
from worker.clock import Clock
from worker.ops.metrics import Metrics

_BLOCKS: Final = 20  # the window moves on by a twentieth


@dataclass(frozen=True, slots=True)
class Look:
    """What one batch of N reviews looks like through one model.

    Attributes:
        choices: `intp[N]`, index of the label given.
        confidences: `float[N]`.
        lengths: `int64[N]`, tokens.
        unknown: how many of all tokens the table does not hold.
        scripts: reviews by `SCRIPT_BINS`.
    """

    choices: npt.NDArray[np.intp]
    confidences: npt.NDArray[np.floating]
    lengths: npt.NDArray[np.int64]
    unknown: int
    scripts: Counts


@dataclass(slots=True)
class _Block:
    since_s: float
    reviews: int
    features: dict[str, Counts]


class Drift:
    """Keeps a window for each version that rates, and sets its indices.

    Args:
        metrics: the gauges.
        clock: ages the window.
        reviews: the window holds about so many at most.
        seconds: and none older.
        least_reviews: no index of fewer; by chance alone it is about bins / reviews.
    """

    def __init__(self, metrics: Metrics, clock: Clock, *, reviews: int, seconds: float, least_reviews: int) -> None:
        self._metrics = metrics
        self._clock = clock
        self._reviews = reviews
        self._seconds = seconds
        self._least = least_reviews
        self._windows: dict[str, deque[_Block]] = {}

    def keep(self, versions: Collection[str]) -> None:
        """Forget the windows of all other versions, and set their indices to 0."""
        for version in [each for each in self._windows if each not in versions]:
            for feature in _expected(None):
                self._metrics.models.drift.labels(version, feature).set(0)
            self._metrics.models.drift_reviews.labels(version).set(0)
            del self._windows[version]

    def observe(self, manifest: Manifest, look: Look) -> None:
        """Count a batch."""
        if not look.choices.size:
            return
        window = self._windows.setdefault(manifest.version, deque())
        now = self._clock.monotonic()
        last = window[-1] if window else None
        full = last is not None and (
            last.reviews >= self._reviews / _BLOCKS or now - last.since_s >= self._seconds / _BLOCKS
        )
        features = _counted(manifest, look)
        if last is None or full:
            if full:
                self._say(manifest, window)
            window.append(_Block(now, int(look.choices.size), features))
        else:
            last.reviews += int(look.choices.size)
            for name, counts in features.items():
                last.features[name] = last.features[name] + counts
        while len(window) > 1 and (
            sum(block.reviews for block in window) - window[0].reviews >= self._reviews
            or now - window[0].since_s > self._seconds
        ):
            window.popleft()

    def _say(self, manifest: Manifest, window: Collection[_Block]) -> None:
        models, version = self._metrics.models, manifest.version
        reviews = sum(block.reviews for block in window)
        models.drift_reviews.labels(version).set(reviews)
        for feature, expected in _expected(manifest.baseline).items():
            counts = np.sum([block.features[feature] for block in window], axis=0)
            if reviews >= self._least and len(expected) == len(counts):  # a baseline of another shape says nothing
                models.drift.labels(version, feature).set(stability_index(expected, counts))


def _counted(manifest: Manifest, look: Look) -> dict[str, Counts]:
    baseline, tokens = manifest.baseline, int(look.lengths.sum())
    return {
        "stars": np.bincount(look.choices, minlength=len(manifest.decision.labels)),
        "confidence": histogram(look.confidences, baseline.confidence_edges),
        "length": histogram(look.lengths, baseline.length_edges),
        "unknown_words": np.array([tokens - look.unknown, look.unknown]),
        "script": look.scripts,
    }


def _expected(baseline: DriftBaseline | None) -> Mapping[str, list[float]]:
    """Return the shares to compare with, by feature; empty where the bundle does not say."""
    if baseline is None:
        return {"stars": [], "confidence": [], "length": [], "unknown_words": [], "script": []}
    scripts = baseline.script_shares
    return {
        "stars": baseline.rating_shares,
        "confidence": baseline.confidence_shares,
        "length": baseline.length_shares,
        "unknown_words": [1 - baseline.unknown_ratio, baseline.unknown_ratio],
        "script": [scripts.get(name, 0.0) for name in SCRIPT_BINS] if scripts else [],
    }
