"""The input contract, and that the exported JSON Schemas say the same as the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta

from schemas.__main__ import EXPORTED, FOLDER, export, main, schema_text, stale
from schemas.input.value import InvalidReviewError
from schemas.review import Review, parse_review


def accepts(name: str, value: object) -> bool:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema).is_valid(value)


def test_export_check_finds_drift_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "rating.schema.json").write_text("{}")
    (tmp_path / "manifest.schema.json").unlink()
    (tmp_path / "foreign.json").write_text("{}")
    wrong = ["foreign.json", "manifest.schema.json", "rating.schema.json"]
    assert stale(tmp_path) == wrong
    monkeypatch.setattr("schemas.__main__.stale", lambda: wrong)
    assert main(["export", "--check"]) == 1
    assert "rating.schema.json: out of date; run: python -m schemas export" in capsys.readouterr().err
    assert (tmp_path / "rating.schema.json").read_text() == "{}"
    export(tmp_path)
    assert stale(tmp_path) == []


def test_exported_schemas_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """The contract changed? If on purpose: python -m schemas export, and say so in CHANGELOG.md."""
    assert main(["export", "--check"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_schemas_are_valid_schemas(name: str) -> None:
    meta.validate(json.loads(schema_text(name)))


words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)  # no schema can refuse a null byte
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False), words
)
EXPECTED = "text: expected in text, content, review, body"
HIDDEN = "(not shown: it reads like a text)"
WIRE_FORMAT = (
    "as a schema registry's serializer writes Avro, JSON or Protobuf; WORKER_INPUT_FORMAT=avro reads Avro (and JSON) "
    "with WORKER_SCHEMA_REGISTRY_URL, WORKER_INPUT_FORMAT=json_schema reads JSON"
)
WHOLE = "send one whole object, or a text that begins otherwise"
NAMES = {
    "text": ("text", "content"),
    "review_id": ("review_id", "reviewId"),
    "app_id": ("app_id", "appId"),
    "created_at": ("created_at", "at"),
    "score": ("score", "stars"),
    "unknown": ("userName",),
}
values = st.one_of(scalars, st.lists(scalars, max_size=2))
objects = st.fixed_dictionaries(
    {}, optional={field: st.tuples(st.sampled_from(names), values) for field, names in NAMES.items()}
).map(lambda fields: dict(fields.values()))


@given(objects)
def test_what_the_review_schema_accepts_is_read_whole(value: dict[str, Any]) -> None:
    texts = [text for name in NAMES["text"] if (text := value.get(name)) is not None]
    if accepts("review", value) and any(str(text).strip() for text in texts):  # no schema can say what can be seen
        assert parse_review(json.dumps(value).encode()).ignored == ()


@pytest.mark.parametrize("value", [{}, {"text": 5}, {"content": None}, {"text": "a", "score": "five"}, [], "a"])
def test_review_schema_refuses_what_costs_a_rating_or_a_field(value: object) -> None:
    assert not accepts("review", value)


def test_text_is_never_trimmed_or_changed() -> None:
    text = "  Grüße 🙂\n\tall of it  "
    assert parse_review(text.encode()).text == text
    assert parse_review(json.dumps({"text": text}).encode()).text == text


def test_fields_are_kept_as_the_producer_sent_them() -> None:
    review = parse_review(b'{"text": "a", "at": 1767225600, "score": 4.5}')
    assert (review.created_at, review.score) == (1767225600, 4.5)


def test_the_authors_own_stars_are_optional() -> None:
    assert parse_review(b'{"text": "a"}') == Review(text="a")


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("name", ["review_id", "app_id", "score", "at", "app_version", "helpful"])
def test_a_number_of_thousands_of_digits_costs_its_own_field_only(name: str, sign: str) -> None:
    digits = "7" * 5000
    review = parse_review(f'{{"text": "a", "{name}": {sign}{digits}, "b": "{digits}"}}'.encode())
    assert review == Review("a", ignored=review.ignored)
    assert len(review.ignored) == (name != "helpful")


@pytest.mark.parametrize("rest", ['"b": "\\ud800"', '"b": ', f'"b": {"[" * 100_000}'])
def test_a_long_number_does_not_excuse_what_else_is_wrong(rest: str) -> None:
    with pytest.raises(InvalidReviewError) as caught:
        parse_review(f'{{"text": "a", "n": {"9" * 5000}, {rest}}}'.encode())
    assert caught.value.reason == "not_json"


@pytest.mark.parametrize("value", [b'{"text": "a"}', b"a"])
def test_a_byte_order_mark_is_no_part_of_a_review(value: bytes) -> None:
    assert parse_review(b"\xef\xbb\xbf" + value) == Review(text="a")


@pytest.mark.parametrize(
    ("value", "reason", "message"),
    [
        (b"\xc3(", "not_utf8", "value: not UTF-8 at byte 0; send UTF-8"),
        (
            b"{",
            "not_json",
            f"value: Invalid JSON: EOF while parsing an object at line 1 column 1; {WHOLE}",
        ),
        (b'{"text": 1}', "wrong_type", "text: a number, expected a string"),
        (
            b'{"Note": "so so", "n": {"q": 1}, "~~": 2}',
            "no_text",
            f"{EXPECTED}; the fields are: Note, n.q, {HIDDEN}; if Note holds the text: WORKER_TEXT_FIELD=Note",
        ),
        (
            b"{}",
            "no_text",
            f"{EXPECTED}; the fields are: none, the object is empty; name its field with WORKER_TEXT_FIELD",
        ),
        (
            b"[1]",
            "wrong_type",
            "value: a JSON array, expected a JSON object with a text, or plain text; one review a record",
        ),
        (
            b"\0\0\0\0\x07{}",
            "wrong_type",
            f"value: begins with a null byte and schema id 7, {WIRE_FORMAT}",
        ),
        (b" ", "no_text", "text: empty or blank; a review needs words"),
        (b"12345", "text_too_long", "text: 5 characters, over the limit of 4 (WORKER_MAX_TEXT_CHARS)"),
        (b"a\0", "null_byte", "text: contains a null byte; remove it"),
    ],
)
def test_a_refusal_names_the_field_and_the_limit(value: bytes, reason: str, message: str) -> None:
    with pytest.raises(InvalidReviewError) as caught:
        parse_review(value, max_text_chars=4)
    assert (caught.value.reason, str(caught.value)) == (reason, message)
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, UnicodeDecodeError)
