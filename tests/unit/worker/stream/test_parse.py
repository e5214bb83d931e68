"""A record becomes a review, a deletion or a rejection: identity, the reasons, and what a message may say."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import REJECT_REASONS, RejectReason
from schemas.input.fields import FieldFinder
from schemas.input.presets import PRESETS
from schemas.input.value import InvalidReviewError
from schemas.review import MAX_ID_BYTES, OPTIONAL_FIELDS, Review
from tests.doubles import REFUSED, StubClassifier, StubDecoder, make_rated, make_record
from worker.errors import RefusedError
from worker.ops.metrics import Metrics
from worker.records import Deleted, Pending, Record, Rejected
from worker.stream.parse import Parser
from worker.stream.rejection import reject_refused

PARSER = Parser("auto", 1000)
VERSION = "v1"


def parse(record: Record, parser: Parser = PARSER) -> Pending | Deleted | Rejected:
    return parser.parse(record, VERSION)


def reason_of(record: Record, parser: Parser = PARSER) -> RejectReason:
    outcome = parse(record, parser)
    assert isinstance(outcome, Rejected)
    return outcome.letter.reason


def identity_of(record: Record) -> str:
    outcome = parse(record)
    assert isinstance(outcome, Deleted if record.value is None else Pending)
    return outcome.review_id


WRONG: dict[str, tuple[Record, RejectReason]] = {
    "byte": (make_record(b"\xff\xfe"), "not_utf8"),
    "broken object": (make_record('{"text": "a"'), "not_json"),
    "object, then more": (make_record('{"text": "a"} x'), "not_json"),
    "lone surrogate": (make_record(rb'{"text": "\ud800"}'), "not_json"),
    "deep nesting": (make_record('{"text": ' + "[" * 5000), "not_json"),
    "number for text": (make_record('{"text": 5}'), "wrong_type"),
    "null for text": (make_record('{"text": null}'), "no_text"),
    "nothing to see": (make_record("\ufeff\u200b\u3164\ufe0f"), "no_text"),
    "array": (make_record("[1, 2]"), "wrong_type"),
    "null": (make_record(" null"), "wrong_type"),
    "XML": (make_record("<review><stars>5</stars></review>"), "wrong_type"),
    "XML with a declaration": (make_record("<?xml version='1.0'?>"), "wrong_type"),
    "Confluent's wire format": (make_record(b"\0\0\0\0\x07{}"), "wrong_type"),
    "no text": (make_record('{"review_id": "r"}'), "no_text"),
    "empty value": (make_record(""), "no_text"),
    "blank": (make_record(" \n\t "), "no_text"),
    "blank in json": (make_record('{"content": " "}'), "no_text"),
    "long": (make_record("🙂" * 1001), "text_too_long"),
    "null byte": (make_record("a\0b"), "null_byte"),
    "null byte in json": (make_record(r'{"text": "a\u0000b"}'), "null_byte"),
    "long id": (make_record(json.dumps({"text": "a", "review_id": "x" * 257})), "bad_identifier"),
    "null byte in id": (make_record(r'{"text": "a", "review_id": "r\u0000"}'), "bad_identifier"),
    "long key": (make_record("a", key="é".encode() * 129), "bad_identifier"),
    "long key of a tombstone": (make_record(None, key=b"k" * 257), "bad_identifier"),
    "tombstone without a key": (make_record(None), "no_identity"),
    "tombstone with an empty key": (make_record(None, key=b""), "no_identity"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_record_is_rejected_with_its_reason(case: str) -> None:
    record, reason = WRONG[case]
    assert reason_of(record) == reason


def test_every_reason_is_reachable() -> None:
    reached = {reason for _, reason in WRONG.values()}
    pending = parse(make_record(REFUSED))
    assert isinstance(pending, Pending)
    (unratable,) = StubClassifier().rate([pending], "now")
    assert isinstance(unratable, Rejected)
    error = RefusedError("size", [pending.record], "too large")
    (refused,) = reject_refused([make_rated(record=pending.record)], error, model_version="v1")
    assert isinstance(refused, Rejected)
    decoder = StubDecoder()
    decoder.faults.then(InvalidReviewError("unknown_schema", "schema 7"))
    reached.add(reason_of(make_record("a"), Parser("auto", 1000, decoder=decoder)))
    assert reached | {unratable.letter.reason, refused.letter.reason} == set(REJECT_REASONS)
    assert get_args(RejectReason) == REJECT_REASONS


def test_a_rejection_says_where_the_record_was() -> None:
    record = make_record(b"\xff", partition=3, offset=77, timestamp=123, key=b"k")
    outcome = parse(record)
    assert isinstance(outcome, Rejected)
    letter = outcome.letter
    assert (letter.topic, letter.partition, letter.offset, letter.timestamp_ms) == ("reviews", 3, 77, 123)
    assert (letter.stage, letter.model_version, letter.attempts) == ("parse", VERSION, 1)
    assert letter.message == "value: not UTF-8 at byte 0; send UTF-8"
    assert outcome.record is record


def test_identity_is_the_review_id_else_the_key_else_the_position() -> None:
    assert identity_of(make_record('{"text": "a", "review_id": "r"}', key=b"k")) == "r"
    assert identity_of(make_record('{"text": "a", "reviewId": "r"}', key=b"\xff")) == "r", "no key is needed"
    assert identity_of(make_record('{"text": "a"}', key=b"k")) == "k"
    assert identity_of(make_record('{"text": "a", "review_id": null}', key=b"k")) == "k"
    assert identity_of(make_record("plain", key="ключ".encode())) == "ключ"
    assert identity_of(make_record("plain", partition=2, offset=9)) == "reviews-2-9"
    assert identity_of(make_record("plain", key=b"", partition=2, offset=9)) == "reviews-2-9"
    assert identity_of(make_record(None, key=b"r1")) == "r1"
    assert identity_of(make_record('{"text": "a", "review_id": 12}', key=b"k")) == "12"
    assert identity_of(make_record('{"text": "a", "review_id": ""}', key=b"k")) == "k"
    assert identity_of(make_record("plain", key=b"\xff\x00")) == "ff00"
    assert identity_of(make_record("plain", key=(7).to_bytes(8, "big"))) == "0000000000000007"


@pytest.mark.parametrize(
    "value", ['\ufeff{"before": 1}', '\u00a0{"before": 1}', '"{\\"before\\": 1}"', '{"before": 1}']
)
def test_an_object_without_a_text_is_rejected_also_when_it_resembles_a_change_event(value: str) -> None:
    assert reason_of(make_record(value)) == "no_text"


def test_a_change_event_with_a_byte_order_mark_deletes_its_row() -> None:
    parser = Parser("auto", 1000, FieldFinder(PRESETS["debezium"]))
    outcome = parse(make_record('\ufeff{"op": "d", "before": {"id": 7.0}, "after": null}'), parser)
    assert isinstance(outcome, Deleted)
    assert outcome.review_id == "7"


@pytest.mark.parametrize("key", ["k" * (MAX_ID_BYTES // 4), "k" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2)])
def test_the_longest_text_and_id_are_valid(key: str) -> None:
    record = make_record("🙂" * 1000, key=key.encode())
    assert isinstance(parse(record), Pending)
    assert identity_of(record) == key


@pytest.mark.parametrize(
    ("input_format", "value", "text"),
    [
        ("auto", "plain words", "plain words"),
        ("auto", "[so so] good", "[so so] good"),
        ("auto", "<3 this app", "<3 this app"),
        ("auto", "5", "5"),
        ("auto", '"quoted"', "quoted"),
        ("auto", '"{\\"text\\": \\"twice\\"}"', "twice"),
        ("auto", '\ufeff{"text": "marked"}', "marked"),
        ("auto", ' \n{"text": "in json"}', "in json"),
        ("json", '{"text": "in json"}', "in json"),
        ("text", '{"text": "as it is"}', '{"text": "as it is"}'),
        ("text", "{smile", "{smile"),
    ],
)
def test_the_input_format_decides_what_the_text_is(input_format: str, value: str, text: str) -> None:
    outcome = parse(make_record(value), Parser(input_format, 1000))  # type: ignore[arg-type]  # the cases' own words
    assert isinstance(outcome, Pending)
    assert outcome.review.text == text


@pytest.mark.parametrize("value", ["plain words", '"quoted"', "[]"])
def test_the_json_format_takes_objects_only(value: str) -> None:
    assert reason_of(make_record(value), Parser("json", 1000)) in {"not_json", "wrong_type"}


def test_aliases_are_read_and_unknown_fields_ignored() -> None:
    value = {"content": "a", "reviewId": "r", "appId": "app", "at": "2026-01-01", "score": 4, "userName": "ignored"}
    outcome = parse(make_record(json.dumps(value)))
    assert isinstance(outcome, Pending)
    assert outcome.review == Review(text="a", review_id="r", app_id="app", created_at="2026-01-01", score=4)


@pytest.mark.parametrize(
    ("sent", "found", "ignored"),
    [
        ({"score": "5"}, {"score": 5}, ()),
        ({"score": "4.5", "app_id": 7, "app_version": 1.2}, {"score": 4.5, "app_id": "7", "app_version": "1.2"}, ()),
        ({"app_id": 12345678.0, "app_version": 20261127.5}, {"app_id": "12345678", "app_version": "20261127.5"}, ()),
        ({"score": "five", "at": [1]}, {"score": None, "created_at": None}, ("score", "created_at")),
        ({"score": True, "review_id": {}}, {"score": None, "review_id": None}, ("review_id", "score")),
        ({"app_id": "\u20ac" * 86, "app_version": "1\0"}, {"app_id": None}, ("app_id", "app_version")),
        ({"app_id": "", "score": None}, {"app_id": None, "score": None}, ()),
        ({"score": 10**400}, {"score": None}, ("score",)),
        ({"score": [10**400]}, {"score": None}, ("score",)),
    ],
)
def test_an_optional_field_never_costs_a_rating(
    sent: dict[str, object], found: dict[str, object], ignored: tuple[str, ...], metrics: Metrics
) -> None:
    parser = Parser("auto", 1000, ignored=metrics.ignored_fields)
    outcome = parse(make_record(json.dumps({"text": "a", **sent})), parser)
    assert isinstance(outcome, Pending)
    assert {name: getattr(outcome.review, name) for name in found} == found
    assert outcome.review.ignored == ignored
    for name in OPTIONAL_FIELDS:
        count = metrics.registry.get_sample_value("starstream_ignored_fields_total", {"field": name})
        assert count == (name in ignored)


def test_headers_without_a_value_cost_nothing() -> None:
    nulls = [("content-type", None), ("traceparent", None), ("starstream-attempts", None), ("", None)]
    assert isinstance(parse(make_record("fine", headers=nulls)), Pending)
    assert reason_of(make_record("", headers=nulls)) == "no_text"


def test_a_cloud_event_is_known_by_its_header() -> None:
    event = {"specversion": "1.0", "id": "e1", "subject": "r1", "data": {"text": "good", "stars": 4}}
    headers = [("Content-Type", b"application/cloudevents+json; charset=utf-8")]
    outcome = parse(make_record(json.dumps(event), headers=headers))
    assert isinstance(outcome, Pending)
    assert (outcome.review_id, outcome.review.text, outcome.review.score) == ("r1", "good", 4)
    binary = parse(make_record('{"text": "good"}', headers=[("ce_specversion", b"1.0"), ("ce_id", b"e1")]))
    assert isinstance(binary, Pending)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_deleted_row_of_debezium_deletes_the_review(wrapped: bool) -> None:
    event: dict[str, object] = {"before": {"id": 5, "text": None}, "after": None, "op": "d"}
    parser = Parser("auto", 1000, FieldFinder(PRESETS["debezium"]))
    outcome = parse(make_record(json.dumps({"payload": event} if wrapped else event)), parser)
    assert isinstance(outcome, Deleted)
    assert outcome.review_id == "5"
    assert reason_of(make_record(json.dumps({**event, "op": "u"})), parser) == "no_text"


secrets = st.text(st.characters(codec="utf-8", categories=("L", "N", "S")), min_size=6, max_size=40)
fields = st.dictionaries(
    st.sampled_from(["text", "content", "review_id", "app_id", "created_at", "score"]),
    st.sampled_from(["secret", "number", "list", "object", "null", "empty", "blank", "nul"]),
)


@given(secrets, fields, st.sampled_from(["", "{", '{"text": "', "\0", "\x7f{"]), st.booleans())
def test_a_rejection_never_contains_the_text(secret: str, fields: dict[str, str], prefix: str, cut: bool) -> None:
    secret = f"~{secret}~"  # in no message of ours or pydantic's
    values: dict[str, object] = {
        "secret": secret,
        "number": 7,
        "list": [secret],
        "object": {secret: secret},
        "null": None,
        "empty": "",
        "blank": " ",
        "nul": secret + "\0",
    }
    body = json.dumps({name: values[kind] for name, kind in fields.items()} | {secret: secret}, ensure_ascii=False)
    value = prefix + (body[: len(body) // 2] if cut else body) + secret * (30 if cut else 0)
    for parser in (PARSER, Parser("json", 20), Parser("text", 20)):
        outcome = parse(make_record(value.encode(), key=secret.encode() * 60), parser)
        if isinstance(outcome, Rejected):
            header_values = b"".join(header for _, header in outcome.letter.headers([]))
            assert secret not in outcome.letter.message
            assert secret.encode() not in header_values


@given(st.binary(max_size=300), st.one_of(st.none(), st.binary(max_size=300)))
def test_every_record_has_exactly_one_outcome(value: bytes, key: bytes | None) -> None:
    outcome = parse(make_record(value, key=key))
    assert isinstance(outcome, Pending | Rejected)
    if isinstance(outcome, Pending):
        assert outcome.review.text.strip()
        assert len(outcome.review_id.encode()) > 0
