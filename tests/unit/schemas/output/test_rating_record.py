"""The loop's ratings: the same bytes as the declaration's, whatever the values."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.output.rating_record import RatingRecord, SourceRecord, rating_of, value_of
from schemas.rating import HASH_FIELDS, WHERE_KNOWN, Rating, SourcePosition

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=6)
made = st.fixed_dictionaries(
    {
        "review_id": texts,
        "app_id": st.none() | texts,
        "rating": st.integers(-(2**40), 2**40),
        "expected_rating": st.floats(-1e15, 1e15),
        "confidence": st.floats(0, 1),
        "uncertain": st.booleans(),
        "probabilities": st.lists(st.floats(0, 1), max_size=5),
        "model_version": texts,
        "rated_at": texts,
    },
    optional={
        "created_at": texts,
        "app_version": texts,
        "author_score": finite | st.integers(-(2**70), 2**70).map(float),
        "mismatch": st.booleans(),
        "reasons": st.lists(texts, max_size=3),
    },
)
sources = st.fixed_dictionaries(
    {"topic": texts, "partition": st.integers(0, 2**31), "offset": st.integers(0, 2**62)},
    optional={"timestamp_ms": st.none() | st.integers(-1, 2**62)},
)
SOURCE: dict[str, Any] = {"topic": "reviews", "partition": 0, "offset": 0}
RATING: dict[str, Any] = {
    "review_id": "r1",
    "app_id": None,
    "rating": 5,
    "expected_rating": 4.5,
    "confidence": 1e-6,
    "uncertain": False,
    "probabilities": [5e-324, 1e-7, 0.1 + 0.2],
    "model_version": "v",
    "rated_at": "now",
}


@given(fields=made, source=sources)
@example(fields=RATING | {"author_score": 1e16}, source=SOURCE)
@example(fields=RATING | {"author_score": -sys.float_info.max}, source=SOURCE)
@example(fields=RATING | {"author_score": float("nan")}, source=SOURCE)
@example(fields=RATING | {"created_at": '\x7f\x1f\u2028\U0001f600"\\/'}, source=SOURCE)
def test_bytes_are_those_of_the_declaration(fields: dict[str, Any], source: dict[str, Any]) -> None:
    record = RatingRecord(**fields, source=SourceRecord(**source))
    rating = Rating(**fields, source=SourcePosition(**source))
    assert value_of(record) == rating.to_json()
    assert repr(rating_of(record)) == repr(rating)


def test_a_text_that_is_not_utf8_is_refused_as_by_the_declaration() -> None:
    fields = RATING | {"created_at": "\ud800"}
    with pytest.raises(ValueError, match="surrogate"):
        Rating(**fields, source=SourcePosition(**SOURCE)).to_json()
    with pytest.raises(ValueError, match="surrogate"):
        value_of(RatingRecord(**fields, source=SourceRecord(**SOURCE)))


def test_no_field_is_missing() -> None:
    """The struct is made of the declaration: in the topic's order, and what is left out there is left out here."""
    names: Any = RatingRecord
    assert names.__struct_fields__ == (
        *(name for name in HASH_FIELDS if name not in WHERE_KNOWN), "source", *WHERE_KNOWN
    )  # fmt: skip
