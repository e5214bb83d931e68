"""The output contract: exact bytes on the topic, and a hash that reads back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import ValidationError

from schemas.__main__ import schema_text
from schemas.rating import WHERE_KNOWN, Rating, SourcePosition, rating_key, summary_key, time_text

GOLDEN = Path(__file__).parents[2] / "golden" / "schema_rating.jsonl"
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
    source=SourcePosition(topic="reviews", partition=3, offset=1234567890123, timestamp_ms=1767270896000),
)


KNOWN = replace(
    RATING,
    created_at="2026-01-01",
    app_version="1.2",
    author_score=0,
    mismatch=True,
    reasons=["bad", "!!"],
    unknown_share=0.25,
)


def test_rating_bytes_are_the_golden_ones() -> None:
    """Readers in other languages parse these bytes; a change here is a change of the contract."""
    bare, known = GOLDEN.read_bytes().splitlines()
    assert (RATING.to_json(), KNOWN.to_json()) == (bare, known)
    assert (Rating.from_json(bare), Rating.from_json(known)) == (RATING, KNOWN)


@pytest.mark.parametrize("name", WHERE_KNOWN)
def test_one_field_that_is_known_is_enough_to_be_written(name: str) -> None:
    known = json.loads(replace(RATING, **{name: getattr(replace(KNOWN, labels={"joy": 0.5}), name)}).to_json())
    assert known.keys() - json.loads(RATING.to_json()).keys() == {name}


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("5 May", "5 May"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1767225600.5, "2026-01-01T00:00:00.500Z"),
        (1767225600123, "2026-01-01T00:00:00.123Z"),
        (1767225600123456, "2026-01-01T00:00:00.123Z"),
        (1767225600123456789, "2026-01-01T00:00:00.123Z"),
        ("1767225600", "2026-01-01T00:00:00.000Z"),
        ("1767225600123", "2026-01-01T00:00:00.123Z"),
        ("20260101", "20260101"),
        ("20260101120000", "20260101120000"),
        ("１７６７２２５６００", "１７６７２２５６００"),  # noqa: RUF001 - digits of another script
        (-62135596801, "-62135596801"),
        (10**300, str(10**300)),
    ],
)
def test_a_time_that_is_a_number_becomes_a_date(sent: str | float, text: str) -> None:
    assert time_text(sent) == text


def test_a_rating_is_read_with_checks() -> None:
    """The worker makes its own without; tests/contract/test_rating_fields.py reads back what it wrote."""
    wrong = replace(RATING, confidence=1.5)
    with pytest.raises(ValidationError, match="confidence"):
        Rating.from_json(wrong.to_json())


def test_rating_bytes_keep_the_exported_schema() -> None:
    validator = Draft202012Validator(json.loads(schema_text("rating")))
    for rating in (RATING, KNOWN, replace(RATING, app_id=None)):
        validator.validate(json.loads(rating.to_json()))
    assert not validator.is_valid({**json.loads(RATING.to_json()), "confidence": 1.5})


def test_keys_are_safe_in_a_cluster() -> None:
    assert rating_key("r1") == "rating:{r1}"
    assert rating_key("r1", prefix="dev:") == "dev:rating:{r1}"
    assert summary_key("app", prefix="dev:") == "dev:summary:{app}"
