"""The Classifier port on one bundle: reviews in, ratings or rejections out.

Owns the making of ratings, and the rejection of a review that the runtime refuses. Never reads a record's value:
`worker.stream.parse` did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.bundle import Bundle, BundleError, InterpreterFactory
from schemas.encoding import Ids
from schemas.inference import Scores
from schemas.output.rating_record import RatingRecord, SourceRecord
from schemas.prediction import prediction_values
from schemas.rating import time_text
from worker.clock import Clock
from worker.errors import ModelError
from worker.model.halving import rate_or_halve, require_numbers
from worker.model.remarks import PLAIN, RatingOptions, Remarks
from worker.ops.metrics import Metrics
from worker.records import JustRated, Pending, Rated, Rejected
from worker.stream.rejection import rejected


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of reviews, `int32[n]` each, and how long the encoding took."""

    rows: Sequence[Ids]
    seconds: float


class TfliteClassifier:
    """One loaded bundle. Not thread-safe: each loop has its own.

    Args:
        runtime: its name, for the metrics.
        options: what the ratings say.

    Attributes:
        manifest: of the bundle.
        decision: its rule, with its labels.
        tokens: read since the bundle was loaded.

    Raises:
        ModelError: the runtime refuses the bundle, or its golden reviews get other probabilities.
    """

    def __init__(
        self,
        bundle: Bundle,
        interpreter_factory: InterpreterFactory,
        *,
        runtime: str,
        metrics: Metrics,
        clock: Clock,
        options: RatingOptions = PLAIN,
    ) -> None:
        try:
            self._model = bundle.load(interpreter_factory)
        except BundleError as error:
            raise ModelError(f"{error} ({runtime})") from error
        self.manifest = bundle.manifest
        self.decision = bundle.manifest.decision
        self._version = bundle.version
        self._min_confidence = bundle.manifest.least_confidence(options.min_confidence)
        self._remarks = Remarks(self._model, bundle.manifest.mismatch, options.reasons)
        self._metrics = metrics
        self._clock = clock
        self._runtime = runtime
        self.tokens = 0

    @property
    def version(self) -> str:
        """The version of the bundle."""
        return self._version

    @property
    def labels(self) -> list[int] | list[str]:
        """The stars it chooses from, ascending, or the names of its labels."""
        return self.decision.labels

    def announce(self) -> None:
        """Set the metrics of the serving model to this bundle."""
        info = {"cell": self.manifest.cell, "variant": self.manifest.variant, "runtime": self._runtime}
        self._metrics.serve_model(self.labels, self._version, info)

    def refresh(self) -> None:
        """Do nothing: the bundle never changes."""

    def encode(self, pending: Sequence[Pending]) -> Encoded:
        """Return the reviews' ids, for `rate` and for a shadow model with the same encoder."""
        started = self._clock.monotonic()
        rows = self._model.encoder.encode_all([review.review.text for review in pending])
        return Encoded(rows, self._clock.monotonic() - started)

    def unknown_tokens(self, rows: Sequence[Ids]) -> int:
        """Count the tokens of `int32[n]` rows that the bundle's table does not hold."""
        return self._model.encoder.unknown_count(np.concatenate(rows)) if len(rows) else 0

    def rate(self, pending: Sequence[Pending], rated_at: str, encoded: Encoded | None = None) -> list[Rated | Rejected]:
        """Rate valid reviews, one outcome each, in order; a review that the runtime refuses is rejected by itself.

        `encoded` is what `encode` returned for them, when the caller has called it.
        """

        def attempt(reviews: Sequence[Pending]) -> list[Rated | Rejected]:
            started = self._clock.monotonic()
            known = encoded if reviews is pending else None
            scores = self.score(known or self.encode(reviews))
            self._metrics.inference.observe(self._clock.monotonic() - started + (known.seconds if known else 0.0))
            self._count(scores)
            return [*self.ratings(reviews, scores, rated_at)]

        return rate_or_halve(pending, attempt, self._unratable)

    def score(self, encoded: Encoded) -> Scores:
        """Return the model's scores without counting them.

        Raises:
            RuntimeError: the runtime refused a group; `ValueError` and `MemoryError` likewise.
            ValueError: a probability is not a number.
        """
        return require_numbers(self._model.score_ids(encoded.rows))

    def ratings(self, pending: Sequence[Pending], scores: Scores, rated_at: str) -> list[Rated]:
        """Return reviews with their ratings, in order; `scores` has a row for each."""
        rated: list[Rated] = []
        predicted = prediction_values(scores, self.decision, self._version, self._min_confidence)
        remarks = self._remarks.of([review.review for review in pending], scores)
        for at, (
            review,
            (stars, expected, confidence, uncertain, probabilities, version, unknown, labels),
        ) in enumerate(zip(pending, predicted, strict=True)):
            record, said = review.record, review.review
            made = RatingRecord(
                review_id=review.review_id,
                app_id=said.app_id,
                rating=stars,
                expected_rating=expected,
                confidence=confidence,
                uncertain=uncertain,
                probabilities=probabilities,
                model_version=version,
                unknown_share=unknown,
                rated_at=rated_at,
                source=SourceRecord(
                    topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp
                ),
            )
            if labels is not None:
                made.labels = labels
            if said.created_at is not None:
                made.created_at = time_text(said.created_at)
            if said.app_version is not None:
                made.app_version = said.app_version
            if at in remarks:
                for name, value in remarks[at].items():
                    setattr(made, name, value)
            if said.score is None:
                rated.append(JustRated.of(record, made, None))
            else:
                made.author_score = float(said.score)  # declared as one: a JSON 4 is 4.0 on the topic and in Redis
                rated.append(JustRated.of(record, made, review.author_stars(self.labels)))
        return rated

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
