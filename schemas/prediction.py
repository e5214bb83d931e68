"""What a model says of one text: `predict` writes predictions, and a rating is a prediction and its source.

Owns the fields, and how scores become their values. A field that is declared here is in everything made of it: the
lines of `predict`, the rating on the topic and in the Redis hash, and the JSON Schemas. `rating` is next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field, TypeAdapter

from schemas.inference import Scores


# Dataclasses, not models: the worker makes one for each review from its own checked values (worker/DECISIONS.md,
# 21). Not frozen, which would cost as much again.
@dataclass(slots=True)
class Prediction:
    """The stars of one text."""

    rating: Annotated[int, Field(description="The label decided on: stars 1..5, or the model's own labels.")]
    expected_rating: Annotated[float, Field(description="Probability-weighted mean of the labels.")]
    confidence: Annotated[float, Field(ge=0, le=1, description="Calibrated probability of `rating`.")]
    uncertain: Annotated[bool, Field(default=False, description="Confidence is under WORKER_MIN_CONFIDENCE.")]
    probabilities: Annotated[list[float], Field(description="Calibrated, in the order of the labels.")]
    model_version: Annotated[str, Field(description="The bundle that decided.")]

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them, in the order above."""
        fields: dict[str, Any] = PREDICTION.dump_python(self)
        return fields


PREDICTION: Final = TypeAdapter(Prediction)
PREDICTION_FIELDS: Final = tuple(field.name for field in fields(Prediction))


def prediction_values(
    scores: Scores, labels: Sequence[int], model_version: str, min_confidence: float = 0.0
) -> Iterator[tuple[int, float, float, bool, list[float], str]]:
    """Yield the values of each text's prediction, in the order of `Prediction`'s fields and of the scores.

    Values rather than predictions, because the worker makes a rating of them, and nothing in between. A prediction with
    less than `min_confidence` is marked `uncertain`.
    """
    for choice, expected, probabilities in zip(
        scores.choices.tolist(),
        scores.expected.astype(np.float64).round(4).tolist(),
        scores.probabilities.astype(np.float64).round(6).tolist(),
        strict=True,
    ):
        confidence = probabilities[choice]
        yield labels[choice], expected, confidence, confidence < min_confidence, probabilities, model_version
