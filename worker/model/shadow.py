"""The candidate beside the stable model: compared on every batch, and let out for a share of the reviews.

Owns the comparison, the canary's choice of reviews, and the two verdicts. Nothing here can harm the stable path: the
candidate rates what is rated already, what it raises is counted, and after a few failed batches it is switched off for
good. The canary ends when too many of the last reviews come out otherwise than with the stable model; a version that
was judged stays judged until the worker restarts or its channel names another.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from schemas.bundle import TABLE_FILE
from schemas.drift import Counts
from schemas.inference import Scores
from worker.clock import Clock
from worker.model.classifier import Encoded, TfliteClassifier
from worker.model.drift import Drift, Look
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated

_ERROR_WINDOW_BATCHES: Final = 100
_REMEMBERED: Final = 64  # versions with a verdict
_HASH_SPAN: Final = 2**32


@dataclass(frozen=True, slots=True)
class Limits:
    """When the candidate is let out, and when it is taken back.

    Attributes:
        share: of reviews whose rating is the candidate's.
        most_errors: failures in the last 100 tries, of up to 512 reviews each, before it is switched off.
        most_disagreement: share of the window with other stars before the canary ends.
        window_reviews: about so many of the last reviews count.
        least_reviews: no verdict on fewer.
    """

    share: float
    most_errors: int
    most_disagreement: float
    window_reviews: int
    least_reviews: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Which reviews of a batch are looked at for drift, and the scripts of those."""

    every: slice
    scripts: Counts


@dataclass(frozen=True, slots=True)
class Batch:
    """N reviews that the stable model has rated.

    Attributes:
        pending: the reviews.
        rated: their ratings by the stable model.
        encoded: their ids, as the stable model's encoder gives them.
        sample: those looked at for drift.
        rated_at: for the candidate's ratings.
    """

    pending: Sequence[Pending]
    rated: Sequence[Rated]
    encoded: Encoded
    sample: Sample
    rated_at: str


@dataclass(slots=True)
class _Trial:
    candidate: TfliteClassifier
    same_encoder: bool
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=_ERROR_WINDOW_BATCHES))
    compared: deque[tuple[int, int]] = field(default_factory=deque)  # reviews and disagreements, by batch
    reviews: int = 0  # of the batch under way
    disagreements: int = 0


class Shadow:
    """Runs the candidate. The loop's own.

    Args:
        limits: of the canary.
        drift: watches the candidate's ratings, too.
        clock: times it.
        metrics: what it finds.
        health: verdicts are noted here.
        log: and told here.
        publish: takes the candidate's ratings, at once and without raising; None: they stay here.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        drift: Drift,
        clock: Clock,
        metrics: Metrics,
        health: Health,
        log: Log,
        publish: Callable[[Sequence[Rated]], None] | None = None,
    ) -> None:
        self._limits = limits
        self._drift = drift
        self._clock = clock
        self._models = metrics.models
        self._health = health
        self._log = log
        self._publish = publish
        self._trial: _Trial | None = None
        self._off: dict[str, str] = {}  # version -> why it no longer runs
        self._returned: dict[str, str] = {}  # version -> why it is no canary any more

    def follow(self, stable: TfliteClassifier, candidate: TfliteClassifier | None) -> None:
        """Compare these two from the next batch on."""
        if self._trial is not None:
            self._models.shadow_info.labels(self._trial.candidate.version).set(0)
        self._trial = None
        if candidate is not None and candidate.version not in self._off:
            self._models.start_shadow(candidate.version, candidate.labels)
            self._trial = _Trial(candidate, _same_encoder(stable, candidate))
            self._log(logging.INFO, "shadow_running", model_version=candidate.version, stable=stable.version)
        self._tell(candidate.version if candidate else None)

    def judge(self) -> None:
        """End the canary when too many of the last reviews came out otherwise.

        Between two batches: one is compared in parts of like length, and a part alone would stand for its length only.
        """
        trial = self._trial
        if trial is None or trial.reviews == 0:
            return
        trial.compared.append((trial.reviews, trial.disagreements))
        trial.reviews = trial.disagreements = 0
        seen = sum(count for count, _ in trial.compared)
        while seen - trial.compared[0][0] >= self._limits.window_reviews:
            seen -= trial.compared.popleft()[0]
        other = sum(count for _, count in trial.compared)
        if seen >= self._limits.least_reviews and other > self._limits.most_disagreement * seen:
            reason = (
                f"{other} of the last {seen} reviews have other stars than with the stable model "
                f"(WORKER_CANARY_MAX_DISAGREEMENT={self._limits.most_disagreement})"
            )
            self._return(trial.candidate.version, "disagreement", reason)

    def rate(self, batch: Batch) -> Mapping[int, Rated]:
        """Rate a batch, or a part of one, beside; return the canary's ratings, by position in it."""
        trial = self._trial
        if trial is None:
            return {}
        candidate = trial.candidate
        started = self._clock.monotonic()
        try:
            encoded = batch.encoded if trial.same_encoder else candidate.encode(batch.pending)
            scores = candidate.score(encoded)
            self._compare(trial, batch, encoded, scores)
            replaced = self._let_out(trial, batch, scores)
        except (RuntimeError, ValueError, MemoryError) as error:
            self._failed(trial, error)
            return {}
        trial.failed.append(False)
        self._models.shadow_seconds.observe(self._clock.monotonic() - started)
        return replaced

    def _let_out(self, trial: _Trial, batch: Batch, scores: Scores) -> Mapping[int, Rated]:
        candidate, picked = trial.candidate, self._picked(trial, batch)
        if self._publish is not None:
            every = candidate.ratings(batch.pending, scores, batch.rated_at)
            self._publish(every)
            return {number: every[number] for number in picked}
        if not picked:
            return {}
        some = candidate.ratings([batch.pending[at] for at in picked], _rows(scores, picked), batch.rated_at)
        return dict(zip(picked, some, strict=True))

    def _picked(self, trial: _Trial, batch: Batch) -> list[int]:
        share = self._share(trial.candidate.version)
        if share == 0:
            return []
        return [number for number, each in enumerate(batch.pending) if is_picked(each.review_id, share)]

    def _share(self, version: str) -> float:
        return 0.0 if version in self._returned or version in self._off else self._limits.share

    def _compare(self, trial: _Trial, batch: Batch, encoded: Encoded, scores: Scores) -> None:
        version, reviews = trial.candidate.version, len(batch.pending)
        confidences = scores.probabilities[np.arange(reviews), scores.choices]
        labels = trial.candidate.labels
        stable = np.searchsorted(labels, [each.rating.rating for each in batch.rated])
        agreed = self._models.count_shadow(version, labels, stable, scores.choices)
        expected = np.array([each.rating.expected_rating for each in batch.rated])
        self._models.shadow_difference.labels(version).observe_all(np.abs(scores.expected - expected))
        self._models.shadow_confidence.labels(version).observe_all(confidences)
        every = batch.sample.every
        rows = encoded.rows[every]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        unknown = trial.candidate.unknown_tokens(rows)
        look = Look(scores.choices[every], confidences[every], lengths, unknown, batch.sample.scripts)
        self._drift.observe(trial.candidate.manifest, look)
        trial.reviews += reviews
        trial.disagreements += reviews - agreed

    def _failed(self, trial: _Trial, error: Exception) -> None:
        self._models.shadow_errors.labels("model").inc()
        trial.failed.append(True)
        version, failed = trial.candidate.version, sum(trial.failed)
        if failed < self._limits.most_errors:
            return
        # The message may quote a review, so the kind must do.
        reason = (
            f"{failed} of the last {len(trial.failed)} batches failed (WORKER_SHADOW_MAX_ERRORS), "
            f"the last with {type(error).__name__}"
        )
        self._return(version, "errors", reason)
        _remember(self._off, version, reason)
        self._trial = None
        self._models.shadow_info.labels(version).set(0)
        self._log(logging.ERROR, "shadow_off", model_version=version, reason=reason)
        self._tell(version)

    def _return(self, version: str, kind: str, reason: str) -> None:
        """Give the canary's share back to the stable model."""
        if self._share(version) == 0:
            return
        _remember(self._returned, version, reason)
        self._models.canary_returns.labels(kind).inc()
        self._log(logging.ERROR, "canary_returned", model_version=version, share=self._limits.share, reason=reason)
        self._tell(version)

    def _tell(self, version: str | None) -> None:
        """Say by note and metric what runs beside."""
        share = self._share(version) if version else 0.0
        self._models.canary_share.set(share)
        running = f"{version} runs beside, its ratings go out for {share:.0%} of the reviews" if version else None
        off, returned = self._off.get(version or ""), self._returned.get(version or "")
        self._health.note("shadow", f"{version} is off: {off}" if off else running)
        self._health.note("canary", f"{version} is given back: {returned}" if returned else None)


def is_picked(review_id: str, share: float) -> bool:
    """Return whether a review is among the canary's: by its id alone, the same in every worker and after a restart."""
    return zlib.crc32(review_id.encode("utf-8", "surrogatepass")) < share * _HASH_SPAN


def _same_encoder(one: TfliteClassifier, other: TfliteClassifier) -> bool:
    return (
        one.manifest.encoder == other.manifest.encoder
        and one.manifest.files[TABLE_FILE].sha256 == other.manifest.files[TABLE_FILE].sha256
    )


def _rows(scores: Scores, numbers: Sequence[int]) -> Scores:
    """Return the scores of some of the reviews."""
    at = np.array(numbers)
    return replace(
        scores, probabilities=scores.probabilities[at], choices=scores.choices[at], expected=scores.expected[at]
    )


def _remember(verdicts: dict[str, str], version: str, reason: str) -> None:
    verdicts[version] = reason
    while len(verdicts) > _REMEMBERED:
        del verdicts[next(iter(verdicts))]
