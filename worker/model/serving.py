"""The models of a running worker behind the Classifier port: the stable one, and a candidate in shadow.

Owns the swap. The loop calls `refresh` between two batches, and only there does the lineup change, so one batch is
never rated by two versions. The reloader offers a lineup; nothing here waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from schemas.drift import script_counts
from worker.model.classifier import Encoded, TfliteClassifier
from worker.model.drift import Drift, observation_of
from worker.model.reload import Lineup
from worker.model.shadow import RatedChunk, Sample, Shadow
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated, Rejected

_SAMPLE_REVIEWS: Final = 64  # of a chunk are counted for drift: more cost time and make no index truer


class LineupSource(Protocol):
    """Where the next lineup comes from."""

    @property
    def lineup(self) -> Lineup:
        """The lineup to serve; complete whenever it is read."""


class ServingClassifier:
    """Rates with the stable model, lets the candidate run in shadow, and gives a canary's reviews its ratings."""

    def __init__(
        self, source: LineupSource, *, shadow: Shadow, drift: Drift, metrics: Metrics, health: Health, log: Log
    ) -> None:
        self._source = source
        self._shadow = shadow
        self._drift = drift
        self._models = metrics.models
        self._health = health
        self._log = log
        self._lineup = Lineup(source.lineup.stable)
        self._serve(self._lineup.stable, None)

    @property
    def version(self) -> str:
        """The stable version; a rating says itself when it is the canary's."""
        return self._lineup.stable.version

    @property
    def lineup(self) -> Lineup:
        """The models of the batch that is rated now."""
        return self._lineup

    @property
    def tokens(self) -> int:
        """Tokens read by the stable model since it was loaded."""
        return self._lineup.stable.tokens

    def refresh(self) -> None:
        """Close the last batch for the canary, and take the lineup that is offered."""
        self._shadow.end_batch()
        lineup, previous = self._source.lineup, self._lineup
        if lineup is previous:
            return
        self._lineup = lineup
        if lineup.stable is not previous.stable:
            self._serve(lineup.stable, previous.stable.version)
            self._models.reloads.labels("stable", "served").inc()
        if lineup.candidate is not previous.candidate and lineup.candidate is not None:
            self._models.reloads.labels("candidate", "served").inc()
        self._shadow.follow(lineup.stable, lineup.candidate)
        self._drift.keep({model.version for model in (lineup.stable, lineup.candidate) if model is not None})

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        """Rate valid reviews, one outcome each, in order, all by the lineup of the last `refresh`."""
        stable = self._lineup.stable
        encoded = _encode(stable, pending)
        if encoded is None:
            return stable.rate(pending, rated_at)
        outcomes = stable.rate(pending, rated_at, encoded)
        kept = [at for at, outcome in enumerate(outcomes) if isinstance(outcome, Rated)]
        rated = [outcome for outcome in outcomes if isinstance(outcome, Rated)]
        if len(kept) < len(pending):
            pending = [pending[at] for at in kept]
            encoded = Encoded([encoded.rows[at] for at in kept], encoded.seconds)
        if rated:
            chunk = RatedChunk(pending, rated, encoded, self._observe(pending, rated, encoded), rated_at)
            for number, outcome in self._shadow.rate(chunk).items():
                outcomes[kept[number]] = outcome
        return outcomes

    def _observe(self, pending: Sequence[Pending], rated: Sequence[Rated], encoded: Encoded) -> Sample:
        """Count a sample of the stable model's ratings for drift, and return which reviews it took."""
        stable = self._lineup.stable
        positions = slice(None, None, -(-len(rated) // _SAMPLE_REVIEWS))
        scripts = script_counts(review.review.text for review in pending[positions])
        ratings = [outcome.fields for outcome in rated[positions]]
        choices = stable.decision.choices_of(
            [rating.rating for rating in ratings], [rating.labels for rating in ratings]
        )
        confidences = np.array([rating.confidence for rating in ratings])
        observation = observation_of(stable, encoded.rows[positions], choices, confidences, scripts)
        self._drift.observe(stable.manifest, observation)
        return Sample(positions, scripts)

    def _serve(self, classifier: TfliteClassifier, previous: str | None) -> None:
        classifier.announce()
        self._health.note("model", classifier.version)
        self._log(logging.INFO, "model_serving", model_version=classifier.version, before=previous)


def _encode(classifier: TfliteClassifier, pending: Sequence[Pending]) -> Encoded | None:
    """Return the ids of the reviews; None when one cannot be encoded: the classifier's `rate` finds out which."""
    if not pending:
        return None
    try:
        return classifier.encode(pending)
    except ValueError:
        return None
