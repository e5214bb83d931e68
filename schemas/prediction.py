"""What a model says of one text: `predict` writes predictions, and a rating is a prediction and its source.

Owns the fields, and how scores become their values. A field that is declared here is in everything made of it: the
lines of `predict`, the rating on the topic and in the Redis hash, and the JSON Schemas. `rating` is next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from operator import is_
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field, TypeAdapter

from schemas.decision import Floats
from schemas.inference import Scores
from schemas.label_decision import AnyDecision

_IS_NONE: Final = partial(is_, None)
# The values of a prediction without remarks, in the order of its fields.
Values = tuple[int | None, float | None, float, bool, list[float], str, float, dict[str, float] | None]


# Dataclasses, not models: the worker makes one for each review from its own checked values (worker/DECISIONS.md,
# 21). Not frozen, which would cost as much again.
@dataclass(slots=True)
class Prediction:
    """The stars or the labels of one text."""

    rating: Annotated[
        int | None, Field(description="The stars decided on, 1..5 or the model's own; null of a label model.")
    ]
    expected_rating: Annotated[
        float | None, Field(description="Probability-weighted mean of the stars; null of a label model.")
    ]
    confidence: Annotated[
        float, Field(ge=0, le=1, description="Calibrated probability of `rating`, or that all of `labels` is right.")
    ]
    uncertain: Annotated[
        bool,
        Field(
            default=False,
            description="The confidence is under the bundle's limit or WORKER_MIN_CONFIDENCE, or no word is known.",
        ),
    ]
    probabilities: Annotated[list[float], Field(description="Calibrated, in the order of the labels.")]
    model_version: Annotated[str, Field(description="The bundle that decided.")]
    unknown_share: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            exclude_if=_IS_NONE,
            description="Share of the words that the model does not know; older ratings have none.",
        ),
    ] = None
    labels: Annotated[
        dict[str, float] | None,
        Field(
            exclude_if=_IS_NONE,
            description="Of a label model: the labels decided on, likeliest first, each with its probability.",
        ),
    ] = None
    mismatch: Annotated[
        bool | None,
        Field(exclude_if=_IS_NONE, description="The author's stars contradict the text, by the bundle's rule."),
    ] = None
    reasons: Annotated[
        list[str] | None,
        Field(exclude_if=_IS_NONE, description="The words that support the rating most (WORKER_REASONS)."),
    ] = None

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them, in the order above."""
        fields: dict[str, Any] = PREDICTION.dump_python(self)
        return fields


PREDICTION: Final = TypeAdapter(Prediction)
PREDICTION_FIELDS: Final = tuple(field.name for field in fields(Prediction))
REMARKS: Final = ("mismatch", "reasons")  # not the scores' own: they need the author's stars, or more ratings


def fields_of(decision: AnyDecision) -> tuple[str, ...]:
    """Return the names of the fields that all of a model's predictions have: `REMARKS` come on top."""
    left_out = REMARKS if decision.task == "labels" else ("labels", *REMARKS)
    return tuple(name for name in PREDICTION_FIELDS if name not in left_out)


def outcome_of(said: Prediction) -> str:
    """Return what was decided, as text: the stars, or the labels in the order of their names, joined by a bar."""
    if said.labels is None:
        return str(said.rating)
    return "|".join(sorted(said.labels)) or "none"


def prediction_values(
    scores: Scores, decision: AnyDecision, model_version: str, min_confidence: float = 0.0
) -> Iterator[Values]:
    """Yield the values of each text's prediction, in the order of `Prediction`'s fields and of the scores.

    Values rather than predictions, because the worker makes a rating of them, and nothing in between. A prediction with
    less than `min_confidence` is marked `uncertain`, and so is one of a text without a known word.
    """
    for stars, expected, confidence, probabilities, labels, known, unknown in zip(
        decision.stars_of(scores.choices),
        [None] * len(scores.choices) if scores.expected is None else _rounded(scores.expected, 4),
        _rounded(scores.confidences, 6),
        _rounded(scores.probabilities, 6),
        decision.named(scores.probabilities, scores.choices),
        scores.known_words.tolist(),
        _rounded(scores.unknown_shares, 4),
        strict=True,
    ):
        uncertain = confidence < min_confidence or not known
        yield stars, expected, confidence, uncertain, probabilities, model_version, unknown, labels


def _rounded(values: Floats, digits: int) -> list[Any]:
    found: list[Any] = values.astype(np.float64).round(digits).tolist()
    return found
