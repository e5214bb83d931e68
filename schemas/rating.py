"""The output contract: what the topic `ratings` and the Redis hash `rating:{<review id>}` hold.

Owns the fields and the key names. Never writes anywhere; the worker's sinks do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

CONTENT_TYPE = b"application/json"


# Dataclasses, not models: the worker makes one for each review from its own checked values (worker/README.md, 21). Not
# frozen, which would cost as much again.
@dataclass(slots=True)
class SourcePosition:
    """Where the review was read: the position that fences the rating's write."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


@dataclass(slots=True, kw_only=True)
class Rating:
    """One review's stars, as the output topic carries them."""

    review_id: Annotated[str, Field(min_length=1, description="Key of the record and of the Redis hash.")]
    app_id: Annotated[str | None, Field(description="What was reviewed, when the review said so.")] = None
    rating: Annotated[int, Field(description="The label decided on: stars 1..5, or the model's own labels.")]
    expected_rating: Annotated[float, Field(description="Probability-weighted mean of the labels.")]
    confidence: Annotated[float, Field(ge=0, le=1, description="Calibrated probability of `rating`.")]
    uncertain: Annotated[bool, Field(description="Confidence is under WORKER_MIN_CONFIDENCE.")] = False
    probabilities: Annotated[list[float], Field(description="Calibrated, in the order of the labels.")]
    model_version: Annotated[str, Field(description="The bundle that decided.")]
    rated_at: Annotated[str, Field(description="UTC, ISO 8601 with milliseconds.")]
    source: SourcePosition

    def to_json(self) -> bytes:
        """Return the record value of the output topic: compact JSON in UTF-8, keys in the order above."""
        return RATING.serializer.to_json(self)

    @staticmethod
    def from_json(value: bytes) -> Rating:
        """Read a record value of the output topic.

        Raises:
            pydantic.ValidationError: it is not JSON, or a field is missing, malformed or out of range.
        """
        return RATING.validate_json(value)


RATING: Final = TypeAdapter(Rating)


def rating_key(review_id: str, *, prefix: str = "") -> str:
    """Return the Redis key of a rating; the braces make the id the cluster's hash tag."""
    return f"{prefix}rating:{{{review_id}}}"


def summary_key(app_id: str, *, prefix: str = "") -> str:
    """Return the Redis key of an app's running summary."""
    return f"{prefix}summary:{{{app_id}}}"


def rating_from_hash(fields: Mapping[str, str]) -> Rating:
    """Read a rating back from the flat fields of its Redis hash.

    Raises:
        pydantic.ValidationError: a field is missing or malformed.
    """
    return RATING.validate_python(
        {
            **fields,
            "app_id": fields.get("app_id") or None,
            "uncertain": fields.get("uncertain", "0") == "1",
            "probabilities": [float(share) for share in fields["probabilities"].split(",")],
            "source": {
                "topic": fields["source_topic"],
                "partition": fields["source_partition"],
                "offset": fields["source_offset"],
            },
        }
    )
