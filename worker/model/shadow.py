"""The shadow model: a candidate that rates every batch after the stable model, for comparison.

Owns the comparison, and the decision to switch the candidate off. The stable path is out of its reach: the candidate
rates what the stable model has rated already, its errors are caught and counted, and after a few of them it is off
until the worker restarts. `worker.model.canary` chooses the reviews whose rating is the candidate's.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from schemas.bundle import TABLE_FILE
from schemas.drift import Counts
from schemas.inference import Scores
from worker.clock import Clock
from worker.model.canary import Canary, Limits, remember
from worker.model.classifier import Encoded, TfliteClassifier
from worker.model.drift import Drift, observation_of
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated

_ERROR_WINDOW_CALLS: Final = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """The reviews of a chunk that are counted for drift, and their scripts."""

    positions: slice
    scripts: Counts


@dataclass(frozen=True, slots=True)
class RatedChunk:
    """N reviews that the stable model has rated."""

    pending: Sequence[Pending]
    rated: Sequence[Rated]  # their ratings by the stable model
    encoded: Encoded  # their ids, by the stable model's encoder
    sample: Sample  # those counted for drift
    rated_at: str  # for the candidate's ratings


@dataclass(slots=True)
class _Trial:
    candidate: TfliteClassifier
    same_encoder: bool
    failed: deque[bool] = field(default_factory=lambda: deque(maxlen=_ERROR_WINDOW_CALLS))


class Shadow:
    """Runs the candidate. Not thread-safe: used by the loop only. `publish` must return at once and never raise."""

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
        self._canary = Canary(limits, metrics=metrics, health=health, log=log)
        self._max_errors = limits.max_errors
        self._drift = drift
        self._clock = clock
        self._models = metrics.models
        self._health = health
        self._log = log
        self._publish = publish
        self._trial: _Trial | None = None
        self._off: dict[str, str] = {}  # version -> reason

    def follow(self, stable: TfliteClassifier, candidate: TfliteClassifier | None) -> None:
        """Compare these two from the next batch on."""
        if self._trial is not None:
            self._models.shadow_info.labels(self._trial.candidate.version).set(0)
        self._trial = None
        self._canary.follow(candidate.version if candidate else None)
        if candidate is not None and candidate.version not in self._off:
            self._models.start_shadow(candidate.version, candidate.labels)
            self._trial = _Trial(candidate, _same_encoder(stable, candidate))
            self._log(logging.INFO, "shadow_running", model_version=candidate.version, stable=stable.version)
        self._report(candidate.version if candidate else None)

    def end_batch(self) -> None:
        """Let the canary decide on the batch that was just rated."""
        share = self._canary.share
        self._canary.end_batch()
        if self._trial is not None and self._canary.share != share:
            self._report(self._trial.candidate.version)

    def rate(self, chunk: RatedChunk) -> Mapping[int, Rated]:
        """Rate a chunk in shadow; return the ratings that replace the stable model's, by position in the chunk."""
        trial = self._trial
        if trial is None:
            return {}
        candidate = trial.candidate
        started = self._clock.monotonic()
        try:
            encoded = chunk.encoded if trial.same_encoder else candidate.encode(chunk.pending)
            scores = candidate.score(encoded)
            self._compare(candidate, chunk, encoded, scores)
            replacements = self._replacements(candidate, chunk, scores)
        except (RuntimeError, ValueError, MemoryError) as error:
            self._count_failure(trial, error)
            return {}
        trial.failed.append(False)
        self._models.shadow_seconds.observe(self._clock.monotonic() - started)
        return replacements

    def _replacements(self, candidate: TfliteClassifier, chunk: RatedChunk, scores: Scores) -> Mapping[int, Rated]:
        picked = self._canary.pick(chunk.pending)
        if self._publish is not None:
            ratings = candidate.ratings(chunk.pending, scores, chunk.rated_at)
            self._publish(ratings)
            return {at: ratings[at] for at in picked}
        if not picked:
            return {}
        ratings = candidate.ratings([chunk.pending[at] for at in picked], scores.at(np.array(picked)), chunk.rated_at)
        return dict(zip(picked, ratings, strict=True))

    def _compare(self, candidate: TfliteClassifier, chunk: RatedChunk, encoded: Encoded, scores: Scores) -> None:
        version, reviews, confidences = candidate.version, len(chunk.pending), scores.confidences
        rated = [outcome.fields for outcome in chunk.rated]
        stable = candidate.decision.choices_of([rating.rating for rating in rated], [rating.labels for rating in rated])
        agreed = reviews - int(candidate.decision.differ(stable, scores.choices).sum())
        self._models.count_shadow(version, candidate.labels, stable, scores.choices, agreed)
        if scores.expected is not None:
            expected = np.array([rating.expected_rating for rating in rated], dtype=np.float64)
            self._models.shadow_difference.labels(version).observe_all(np.abs(scores.expected - expected))
        self._models.shadow_confidence.labels(version).observe_all(confidences)
        at, scripts = chunk.sample.positions, chunk.sample.scripts
        observation = observation_of(candidate, encoded.rows[at], scores.choices[at], confidences[at], scripts)
        self._drift.observe(candidate.manifest, observation)
        self._canary.count(reviews, reviews - agreed)

    def _count_failure(self, trial: _Trial, error: Exception) -> None:
        self._models.shadow_errors.labels("model").inc()
        trial.failed.append(True)
        version, failed = trial.candidate.version, sum(trial.failed)
        if failed < self._max_errors:
            return
        # The error's message may quote a review, so only its type is logged.
        reason = (
            f"{failed} of the last {len(trial.failed)} chunks failed (WORKER_SHADOW_MAX_ERRORS), "
            f"the last with {type(error).__name__}"
        )
        self._canary.end("errors", reason)
        remember(self._off, version, reason)
        self._trial = None
        self._models.shadow_info.labels(version).set(0)
        self._log(logging.ERROR, "shadow_off", model_version=version, reason=reason)
        self._report(version)

    def _report(self, version: str | None) -> None:
        """Note on `/readyz` which candidate runs, and what its ratings are for."""
        note = None
        if version in self._off:
            note = f"{version} is switched off: {self._off[version]}"
        elif version is not None:
            note = f"{version} runs in shadow; {self._canary.share:.0%} of the reviews get its rating"
        self._health.note("shadow", note)


def _same_encoder(one: TfliteClassifier, other: TfliteClassifier) -> bool:
    return (
        one.manifest.encoder == other.manifest.encoder
        and one.manifest.files[TABLE_FILE].sha256 == other.manifest.files[TABLE_FILE].sha256
    )
