"""The feedback message: which bytes are feedback, and when its score is a label."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.feedback import parse_feedback

LABELS = frozenset({1, 2, 3, 4, 5})


def label(score: str) -> int | None:
    feedback = parse_feedback(f'{{"review_id": "a", "score": {score}}}'.encode())
    assert feedback is not None
    return feedback.label(LABELS)


def test_feedback_has_an_id_and_a_score_and_may_have_more() -> None:
    assert parse_feedback(b'{"review_id": "a", "score": 4.0, "by": "x"}') == ("a", 4)
    assert parse_feedback(b'{"reviewId": "a", "score": null}') == ("a", None)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b'"text"',
        b"{}",
        b'{"review_id": "a"}',
        b'{"score": 5}',
        b'{"review_id": "", "score": 5}',
        b'{"review_id": 7, "score": 5}',
        b'{"review_id": "\\ud800", "score": 5}',
        b'{"review_id": "a", "score": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
)
def test_other_values_are_not_feedback(content: bytes | None) -> None:
    assert parse_feedback(content) is None


@pytest.mark.parametrize(
    ("score", "expected"),
    [("4", 4), ("4.0", 4), ("4.5", None), ("9", None), ('"4"', None), ("true", None), ("NaN", None), ("null", None)],
)
def test_only_a_number_among_the_labels_is_a_label(score: str, expected: int | None) -> None:
    assert label(score) == expected


@given(st.binary(max_size=60))
def test_any_bytes_are_feedback_or_not(content: bytes) -> None:
    parse_feedback(content)
