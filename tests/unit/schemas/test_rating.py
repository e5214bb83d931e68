"""The output contract: exact bytes on the topic, and a hash that reads back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from schemas.__main__ import schema_text
from schemas.rating import Rating, SourcePosition, rating_from_hash, rating_key, summary_key

GOLDEN = Path(__file__).parents[2] / "golden" / "schema_rating.json"
RATING = Rating(
    review_id="r-1/ключ",
    app_id="com.example.app",
    rating=4,
    expected_rating=3.8125,
    confidence=0.625,
    uncertain=False,
    probabilities=[0.0, 0.125, 0.125, 0.625, 0.125],
    model_version="20260101T000000Z-70700000",
    rated_at="2026-01-01T12:34:56.789Z",
    source=SourcePosition(topic="reviews", partition=3, offset=1234567890123),
)


def test_rating_bytes_are_the_golden_ones() -> None:
    """Readers in other languages parse these bytes; a change here is a change of the contract."""
    assert RATING.to_json() == GOLDEN.read_bytes().rstrip(b"\n")


def test_rating_reads_back_from_its_bytes() -> None:
    assert Rating.from_json(RATING.to_json()) == RATING


def test_a_rating_is_read_with_checks() -> None:
    """The worker makes its own without."""
    wrong = replace(RATING, confidence=1.5)
    with pytest.raises(ValidationError, match="confidence"):
        Rating.from_json(wrong.to_json())


def test_rating_bytes_keep_the_exported_schema() -> None:
    validator = Draft202012Validator(json.loads(schema_text("rating")))
    for rating in (RATING, replace(RATING, app_id=None)):
        validator.validate(json.loads(rating.to_json()))
    assert not validator.is_valid({**json.loads(RATING.to_json()), "confidence": 1.5})


def test_keys_are_safe_in_a_cluster() -> None:
    assert rating_key("r1") == "rating:{r1}"
    assert rating_key("r1", prefix="dev:") == "dev:rating:{r1}"
    assert summary_key("app", prefix="dev:") == "dev:summary:{app}"


def as_hash(rating: Rating) -> dict[str, str]:
    return {
        "review_id": rating.review_id,
        "app_id": rating.app_id or "",
        "rating": str(rating.rating),
        "expected_rating": str(rating.expected_rating),
        "confidence": str(rating.confidence),
        "uncertain": str(int(rating.uncertain)),
        "probabilities": ",".join(map(str, rating.probabilities)),
        "model_version": rating.model_version,
        "rated_at": rating.rated_at,
        "source_topic": rating.source.topic,
        "source_partition": str(rating.source.partition),
        "source_offset": str(rating.source.offset),
    }


@pytest.mark.parametrize("update", [{}, {"app_id": None}, {"uncertain": True}])
def test_rating_reads_back_from_its_hash(update: dict[str, Any]) -> None:
    rating = replace(RATING, **update)
    assert (
        rating_from_hash(as_hash(rating) | {"summary": "summary:{com.example.app}", "source_topic_id": "x"}) == rating
    )


def test_a_malformed_hash_is_refused() -> None:
    broken = as_hash(RATING) | {"rating": "many"}
    with pytest.raises(ValidationError):
        rating_from_hash(broken)
