"""What is read by known names is what the usual way reads, whatever came before and whatever the bytes are."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.input.fields import FieldFinder, FieldPaths
from schemas.input.known_fields import _TYPES, KnownFields
from schemas.input.value import InvalidReviewError
from schemas.review import OPTIONAL_FIELDS, Review, parse_review

NAMES = ["text", "content", "body", "review_id", "reviewId", "app_id", "score", "stars", "at", "appVersion"]
NAMES += ["app_version", "userName", "Text", "\u00e9", "data", 'quo\\"te', "t\\u0065xt", " text"]
VALUES = ['"good app"', '"b"', '""', "null", "5", "4.5", "4.0", "-0", "1e3", "1e400", "123456789012345678901"]
VALUES += [
    "9007199254740993",
    "true",
    '"\\u0041"',
    '"\\ud800"',
    "NaN",
    "Infinity",
    "[1]",
    '{"text":"in"}',
    '"a\\u0000"',
]
VALUES += ["01", "1.", '"a\tb"', '"' + "i" * 300 + '"', "[" * 300 + "]" * 300]
PATHS = [
    FieldPaths(),
    FieldPaths(text="content"),
    FieldPaths(text="TEXT, body"),
    FieldPaths(text="data.text, text+body"),
]

values = st.one_of(st.sampled_from(VALUES[:3]), st.sampled_from(VALUES))
fields = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=6)
objects = fields.map(lambda found: ("{" + ",".join(f'"{name}": {value}' for name, value in found) + "}").encode())


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    value = bytearray(draw(objects))
    place = draw(st.integers(0, len(value) - 1))
    value[place : place + draw(st.integers(0, 1))] = draw(
        st.sampled_from([b"", b"{", b'"', b"\\", b"\xff", b"\0", b" "])
    )
    return bytes(value)


def read(value: bytes, finder: FieldFinder, known: KnownFields | None) -> Any:
    try:
        return repr(parse_review(value, finder=finder, known=known))
    except InvalidReviewError as error:
        return error.reason, str(error)


@given(paths=st.sampled_from(PATHS), stream=st.lists(st.one_of(objects, objects, broken()), max_size=12))
def test_both_ways_read_the_same(paths: FieldPaths, stream: list[bytes]) -> None:
    finder = FieldFinder(paths)
    known = KnownFields(finder)
    for value in stream:
        assert read(value, finder, known) == read(value, finder, None), value


@pytest.mark.parametrize(
    "value",
    [
        b'{"review_id": "r1", "app_id": "a", "text": "good"}',
        b'{"reviewId": "r1", "userName": "me", "content": "good", "score": 5, "at": "2026", "tags": [{"a": null}]}',
        b'{"text": "good", "appVersion": null, "reviewCreatedVersion": "1.2"}',
    ],
)
def test_a_feed_whose_objects_are_alike_is_read_by_its_names(value: bytes) -> None:
    known = KnownFields(FieldFinder())
    assert known.parts(value) is None
    review = parse_review(value, known=known)
    parts = known.parts(value)
    assert parts == (
        review.text, review.review_id, review.app_id, review.score, review.created_at, review.app_version
    )  # fmt: skip
    assert known.parts(b'{"text": "good", "more": 1}') is None


def test_types_are_those_that_a_review_keeps() -> None:
    declared = get_type_hints(Review)
    assert [declared[name] | None for name in ("text", *OPTIONAL_FIELDS)] == list(_TYPES)


def test_names_are_learned_up_to_a_bound_only() -> None:
    known = KnownFields(FieldFinder())
    for number in range(1000):
        parse_review(b'{"text": "good", "n%d": 1}' % number, known=known)
    assert known.parts(b'{"text": "good", "n3": 1}') == ("good", None, None, None, None, None)
    assert known.parts(b'{"text": "good", "n999": 1}') is None
