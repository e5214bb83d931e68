"""The models of a running worker behind the Classifier port: the stable one, and a candidate beside it.

Owns the swap: `refresh`, which the loop calls between two batches, is the only place where the lineup changes, so a
batch is never rated by two. The reloader offers; nothing here waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from schemas.drift import script_counts
from worker.model.classifier import Encoded, TfliteClassifier
from worker.model.drift import Drift, Look
from worker.model.reload import Lineup
from worker.model.shadow import Batch, Sample, Shadow
from worker.ops.health import Health
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Pending, Rated, Rejected

_LOOKED_AT_REVIEWS: Final = 64  # at a time, for drift: more cost time and make no index truer


class Offers(Protocol):
    """Where the next lineup comes from."""

    @property
    def lineup(self) -> Lineup:
        """The lineup to serve, whole at any time."""
        ...


class LiveClassifier:
    """Rates with the stable model, and lets the candidate run beside.

    Args:
        offers: the reloader, or a lineup that stands.
        shadow: compares the candidate, and sends its ratings out for the canary's share.
        drift: watches what is rated.
        metrics: swaps are counted here.
        health: the serving version is noted here.
        log: swaps are told here.
    """

    def __init__(
        self, offers: Offers, *, shadow: Shadow, drift: Drift, metrics: Metrics, health: Health, log: Log
    ) -> None:
        self._offers = offers
        self._shadow = shadow
        self._drift = drift
        self._models = metrics.models
        self._health = health
        self._log = log
        self._lineup = Lineup(offers.lineup.stable)
        self._serve(self._lineup.stable, None)

    @property
    def version(self) -> str:
        """The bundle that serves; with a canary a share of the ratings is another's, and says so."""
        return self._lineup.stable.version

    @property
    def tokens(self) -> int:
        """Tokens read by the stable model that serves, since it was loaded."""
        return self._lineup.stable.tokens

    def refresh(self) -> None:
        """Judge the canary by the batch before, and take the lineup that is offered."""
        self._shadow.judge()
        offered, before = self._offers.lineup, self._lineup
        if offered is before:
            return
        self._lineup = offered
        if offered.stable is not before.stable:
            self._serve(offered.stable, before.stable.version)
            self._models.reloads.labels("stable", "served").inc()
        if offered.candidate is not before.candidate and offered.candidate is not None:
            self._models.reloads.labels("candidate", "served").inc()
        self._shadow.follow(offered.stable, offered.candidate)
        self._drift.keep({each.version for each in (offered.stable, offered.candidate) if each is not None})

    def rate(self, pending: Sequence[Pending], rated_at: str) -> list[Rated | Rejected]:
        """Rate valid reviews, one outcome each, in order, all by the lineup of the last `refresh`."""
        stable = self._lineup.stable
        encoded = _encoded(stable, pending)
        if encoded is None:
            return stable.rate(pending, rated_at)
        outcomes = stable.rate(pending, rated_at, encoded)
        kept = [number for number, each in enumerate(outcomes) if isinstance(each, Rated)]
        rated = [each for each in outcomes if isinstance(each, Rated)]
        if len(kept) < len(pending):
            pending = [pending[number] for number in kept]
            encoded = Encoded([encoded.rows[number] for number in kept], encoded.seconds)
        if rated:
            batch = Batch(pending, rated, encoded, self._look(pending, rated, encoded), rated_at)
            for number, outcome in self._shadow.rate(batch).items():
                outcomes[kept[number]] = outcome
        return outcomes

    def _look(self, pending: Sequence[Pending], rated: Sequence[Rated], encoded: Encoded) -> Sample:
        """Watch the stable model's ratings for drift, and return which reviews were looked at."""
        stable = self._lineup.stable
        every = slice(None, None, -(-len(rated) // _LOOKED_AT_REVIEWS))
        scripts = script_counts(each.review.text for each in pending[every])
        some, rows = rated[every], encoded.rows[every]
        look = Look(
            choices=np.searchsorted(stable.labels, [each.rating.rating for each in some]),
            confidences=np.array([each.rating.confidence for each in some]),
            lengths=np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)),
            unknown=stable.unknown_tokens(rows),
            scripts=scripts,
        )
        self._drift.observe(stable.manifest, look)
        return Sample(every, scripts)

    def _serve(self, classifier: TfliteClassifier, before: str | None) -> None:
        classifier.announce()
        self._health.note("model", classifier.version)
        self._log(logging.INFO, "model_serving", model_version=classifier.version, before=before)


def _encoded(classifier: TfliteClassifier, pending: Sequence[Pending]) -> Encoded | None:
    """Return the ids of a batch; None when a review cannot even be encoded: `rate` finds out which."""
    if not pending:
        return None
    try:
        return classifier.encode(pending)
    except ValueError:
        return None
