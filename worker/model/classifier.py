"""Gives stars: a bundle's served model behind the port.

Owns the making of ratings and the fate of a review that cannot be rated. Never reads a record's value: `parse` did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.bundle import Bundle, BundleError, InterpreterFactory
from schemas.encoding import Ids
from schemas.inference import Scores
from schemas.rating import Rating, SourcePosition
from worker.clock import Clock
from worker.errors import ModelError
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated, Rejected
from worker.stream.parse import rejected


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of reviews, `int32[n]` each, and what it took to get them."""

    rows: Sequence[Ids]
    seconds: float


class TfliteClassifier:
    """The bundle that serves. Not thread-safe: one a loop.

    Args:
        bundle: verified, of any label set.
        interpreter_factory: the runtime's.
        runtime: its name, for the metrics.
        metrics: tokens, padding, seconds and the version are counted here.
        clock: times the inference.
        min_confidence: a rating less sure is given all the same, and marked `uncertain`.

    Attributes:
        manifest: the bundle's.
        tokens: read since the start.

    Raises:
        ModelError: the runtime refuses the bundle, or its golden set comes out otherwise.
    """

    def __init__(
        self,
        bundle: Bundle,
        interpreter_factory: InterpreterFactory,
        *,
        runtime: str,
        metrics: Metrics,
        clock: Clock,
        min_confidence: float = 0.0,
    ) -> None:
        try:
            self._model = bundle.load(interpreter_factory)
        except BundleError as error:
            raise ModelError(f"{error} ({runtime})") from error
        self.manifest = bundle.manifest
        self._labels = bundle.manifest.decision.labels
        self._version = bundle.version
        self._min_confidence = min_confidence
        self._metrics = metrics
        self._clock = clock
        self._runtime = runtime
        self.tokens = 0

    @property
    def version(self) -> str:
        """The bundle that serves."""
        return self._version

    @property
    def labels(self) -> Sequence[int]:
        """What it decides between, ascending."""
        return self._labels

    def announce(self) -> None:
        """Say by metric that this bundle serves from now on."""
        info = {"cell": self.manifest.cell, "variant": self.manifest.variant, "runtime": self._runtime}
        self._metrics.serve_model(self._labels, self._version, info)

    def refresh(self) -> None:
        """Nothing: it is one bundle for ever."""

    def encode(self, pending: Sequence[Pending]) -> Encoded:
        """Return the reviews' ids, for `rate` and for whoever else reads the same ones."""
        started = self._clock.monotonic()
        rows = self._model.encoder.encode_all([each.review.text for each in pending])
        return Encoded(rows, self._clock.monotonic() - started)

    def unknown_tokens(self, rows: Sequence[Ids]) -> int:
        """Count the tokens of `int32[n]` rows that the bundle's table does not hold."""
        return self._model.encoder.unknown_count(np.concatenate(rows)) if rows else 0

    def rate(self, pending: Sequence[Pending], rated_at: str, encoded: Encoded | None = None) -> list[Rated | Rejected]:
        """Rate valid reviews, one outcome each, in order.

        When the runtime refuses a batch it is halved until the review at fault stands alone: that one is rejected,
        its neighbours are rated. Who has called `encode` hands its answer on.
        """
        if not pending:
            return []
        started = self._clock.monotonic()
        try:
            known = encoded or self.encode(pending)
            scores = self.score(known)
        except (RuntimeError, ValueError, MemoryError) as error:
            if len(pending) == 1:
                return [self._unratable(pending[0], error)]
            half = len(pending) // 2
            return self.rate(pending[:half], rated_at) + self.rate(pending[half:], rated_at)
        self._metrics.inference.observe(self._clock.monotonic() - started + (encoded.seconds if encoded else 0.0))
        self._count(scores)
        return list(self.ratings(pending, scores, rated_at))

    def score(self, encoded: Encoded) -> Scores:
        """Return what the model says, uncounted, for a comparison.

        Raises:
            RuntimeError: the runtime refused a group; `ValueError` and `MemoryError` likewise.
            ValueError: a probability is no number.
        """
        scores = self._model.score_ids(encoded.rows)
        if not np.isfinite(scores.probabilities).all():
            raise ValueError("a probability is no number")
        return scores

    def ratings(self, pending: Sequence[Pending], scores: Scores, rated_at: str) -> list[Rated]:
        """Return reviews with their ratings, in order; `scores` has a row for each."""
        return [
            Rated(
                each.record,
                self._rating(each, choice, expected, probabilities, rated_at),
                each.author_stars(self._labels),
            )
            for each, choice, expected, probabilities in zip(
                pending,
                scores.choices.tolist(),
                scores.expected.astype(np.float64).round(4).tolist(),
                scores.probabilities.astype(np.float64).round(6).tolist(),
                strict=True,
            )
        ]

    def _rating(
        self, pending: Pending, choice: int, expected: float, probabilities: list[float], rated_at: str
    ) -> Rating:
        record = pending.record
        return Rating(
            review_id=pending.review_id,
            app_id=pending.review.app_id,
            rating=self._labels[choice],
            expected_rating=expected,
            confidence=probabilities[choice],
            uncertain=probabilities[choice] < self._min_confidence,
            probabilities=probabilities,
            model_version=self._version,
            rated_at=rated_at,
            source=SourcePosition(record.topic, record.partition, record.offset),
        )

    def _unratable(self, pending: Pending, error: Exception) -> Rejected:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        message = "text: the model refused it; the runtime's message is left out, it may quote the text"
        return rejected(pending.record, "unratable", message, model_version=self._version, exception=kind)

    def _count(self, scores: Scores) -> None:
        metrics = self._metrics
        self.tokens += scores.tokens
        metrics.tokens.inc(scores.tokens)
        metrics.unknown_tokens.inc(scores.unknown)
        metrics.cells.inc(scores.cells)
