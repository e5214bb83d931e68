"""The two forms of the Redis hash: what each holds, and that either reads back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.label_decision import LABEL_PATTERN
from schemas.output.rating_hash import (
    ABSENT,
    Form,
    StoredPosition,
    Text,
    hash_columns,
    id_of_key,
    position_from_hash,
    rating_from_hash,
)
from schemas.rating import HASH_FIELDS, WHERE_KNOWN, Rating
from tests.unit.schemas.test_rating import KNOWN, RATING

PLACE = {"source": "reviews:ApbmQyET:3:1234567890123:1767270896000:+"}
OLD_PLACE = {
    "source_topic": "reviews",
    "source_topic_id": "ApbmQyETQ5q2JqmLzDfDBw",
    "source_partition": "3",
    "source_offset": "1234567890123",
    "source_timestamp_ms": "1767270896000",
}
POSITION = StoredPosition("reviews", "ApbmQyET", 3, 1234567890123, 1767270896000)


def fields(rating: Rating, form: Form) -> dict[str, str]:
    """Return the hash's fields, as Redis gives them back."""
    columns = hash_columns([rating], form)
    texts = {name: column[0] for name, column in columns}
    return {name: text_of(text) for name, text in texts.items() if text != ABSENT}


def text_of(value: Text) -> str:
    """Return what Redis stores of an argument."""
    return value.decode() if isinstance(value, bytes) else str(value)


def test_form_1_has_every_field_that_is_known() -> None:
    known = {**fields(KNOWN, 1)}
    assert (*known, "labels") == HASH_FIELDS
    assert known["probabilities"] == "0.0,0.125,0.125,0.625,0.125"
    assert fields(replace(RATING, app_id=None), 1)["app_id"] == ""
    assert fields(RATING, 1).keys() == known.keys() - set(WHERE_KNOWN)
    assert fields(RATING, 1)["uncertain"] == "0"


def test_form_2_leaves_out_the_id_and_what_a_rating_has_by_default() -> None:
    assert fields(RATING, 2) == {
        "app_id": "com.example.app",
        "rating": "4",
        "expected_rating": "3.8125",
        "confidence": "0.625",
        "probabilities": "0.0,0.125,0.125,0.625,0.125",
        "model_version": "20260101T000000Z-70700000",
        "rated_at": "2026-01-01T12:34:56.789Z",
    }
    assert fields(replace(KNOWN, uncertain=True, app_id=None), 2).keys() == (
        fields(RATING, 2).keys() - {"app_id"} | {"uncertain", *WHERE_KNOWN} - {"labels"}
    )


@pytest.mark.parametrize("form", [1, 2])
@given(numbers=st.lists(st.none() | st.floats(0, 1) | st.sampled_from([5e-5, 1e-7, 0.0, 1.0]), min_size=1, max_size=6))
def test_columns_are_what_each_rating_has_alone(form: Form, numbers: list[float | None]) -> None:
    """Numbers of a column are written by one call, which writes some of them otherwise than Python does."""
    ratings = [
        replace(
            RATING,
            confidence=number or 0.25,
            unknown_share=number,
            author_score=number,
            app_id=None if number is None else "app",
            mismatch=None if number is None else number > 0.5,
            probabilities=[0.5, number or 0.5],
        )
        for number in numbers
    ]
    columns = {name: [text_of(text) for text in column] for name, column in hash_columns(ratings, form)}
    for at, rating in enumerate(ratings):
        assert {name: column[at] for name, column in columns.items()} == {
            name: text_of(column[0]) for name, column in hash_columns([rating], form)
        }
        known = fields(rating, form)
        assert known["confidence"] == repr(rating.confidence)
        assert rating.author_score is None or known["author_score"] == repr(rating.author_score)
        assert not rating.unknown_share or known["unknown_share"] == repr(rating.unknown_share)


@pytest.mark.parametrize("place", [PLACE, OLD_PLACE, {**OLD_PLACE, "source": "reviews:id:0:7:1:"}])
def test_a_position_is_read_in_either_form(place: dict[str, str]) -> None:
    """A hash with both was written by an older release last."""
    assert position_from_hash(place) == POSITION


def test_a_topic_with_a_long_name_has_a_field_of_its_own() -> None:
    topic = "reviews-of-" + 60 * "x"
    assert position_from_hash({"source": ":ApbmQyET:3:7:-1:", "source_topic": topic}) == (topic, "ApbmQyET", 3, 7, -1)


def test_an_older_release_has_no_time() -> None:
    without = {name: text for name, text in OLD_PLACE.items() if name != "source_timestamp_ms"}
    assert position_from_hash(without) == POSITION._replace(timestamp_ms=None)


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"source": ""},
        {"source": "reviews:id:3:7:1"},
        {"source": "reviews:id:x:7:1:"},
        {"source": "reviews:id:3:7:1:+:more"},
        {"source_offset": "many"},
        {"source_offset": "7"},
    ],
)
def test_what_is_no_position_is_none(texts: dict[str, str]) -> None:
    assert position_from_hash(texts) is None


ratings = st.builds(
    Rating,
    rating=st.none() | st.integers(-2, 10),
    expected_rating=st.none() | st.floats(-2, 10),
    confidence=st.floats(0, 1),
    uncertain=st.booleans(),
    probabilities=st.lists(st.floats(0, 1), max_size=6),
    model_version=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    review_id=st.just("r1"),
    app_id=st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    rated_at=st.just("2026-01-01T12:34:56.789Z"),
    created_at=st.none() | st.just("2026-01-01"),
    app_version=st.none() | st.sampled_from(["1.2", ',"probabilities":[1]', '"probabilities":[']),
    author_score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    labels=st.none() | st.dictionaries(st.from_regex(LABEL_PATTERN, fullmatch=True), st.floats(0, 1), max_size=4),
    source=st.just(replace(RATING.source)),
)


@pytest.mark.parametrize("form", [1, 2])
def test_a_rating_of_labels_has_no_stars_and_its_labels_as_json(form: Form) -> None:
    rating = replace(RATING, rating=None, expected_rating=None, labels={"joy": 0.91, "überrascht": 0.5})
    found = fields(rating, form)
    assert (found["rating"], found["expected_rating"]) == ("", "")
    assert found["labels"] == '{"joy":0.91,"überrascht":0.5}'
    assert fields(replace(rating, labels={}), form)["labels"] == "{}", "none of the labels is not the same as no labels"


@given(rating=ratings, form=st.sampled_from([1, 2]))
def test_a_rating_reads_back(rating: Rating, form: Form) -> None:
    texts = {**fields(rating, form), **(PLACE if form == 2 else OLD_PLACE)}
    assert rating_from_hash(texts, "r1") == rating


@pytest.mark.parametrize(
    ("texts", "fault"),
    [({**PLACE, "rating": "many"}, "rating\n  Input should be a valid integer"), ({"rating": "5"}, "source\n")],
)
def test_a_malformed_hash_is_refused(texts: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        rating_from_hash({**fields(RATING, 2), **texts}, "r1")


def test_the_id_is_in_the_key() -> None:
    assert id_of_key("p:rating:{a}b{c}", prefix="p:") == "a}b{c"
