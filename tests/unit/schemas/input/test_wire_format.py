"""The wire format of a schema registry: what is read, what each mistake is answered with, and what is asked for."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.input.fields import FieldFinder, FieldPaths
from schemas.input.value import InvalidReviewError
from schemas.input.wire_format import RegisteredSchema, SchemaKey, WireReader, address_of, fetch_schema, is_unknown
from schemas.review import review_of
from tests.fixtures.schema_registry import (
    AVRO_REVIEW,
    avro_value,
    mock_client,
    register,
    require_registry_packages,
)

FINDER = FieldFinder(FieldPaths(text="comment", id="id", score="grade", time="written"))
RECORD = RegisteredSchema("AVRO", json.dumps(AVRO_REVIEW))


def reader_of(schema: RegisteredSchema | None, asked: list[SchemaKey] | None = None, **options: Any) -> WireReader:
    require_registry_packages()

    def schema_of(key: SchemaKey) -> RegisteredSchema | None:
        if asked is not None:
            asked.append(key)
        return schema

    return WireReader("avro", schema_of, **options)


def refusal(reader: WireReader, value: bytes) -> str:
    with pytest.raises(InvalidReviewError) as refused:
        reader.value(value)
    return f"{refused.value.reason}: {refused.value}"


def test_a_record_of_a_serializer_becomes_a_review_whatever_types_its_fields_have() -> None:
    from datetime import UTC, datetime
    from decimal import Decimal

    client = mock_client()
    row = {
        "id": UUID(int=7),
        "comment": "love it",
        "grade": Decimal("4.5"),
        "written": datetime(2026, 1, 2, tzinfo=UTC),
    }
    value = avro_value(client, "reviews", AVRO_REVIEW, row)
    reader = WireReader("avro", lambda key: fetch_schema(client, key))
    review = review_of(reader.value(value), FINDER)
    assert (review.text, review.review_id, review.score) == ("love it", str(UUID(int=7)), 4.5)
    assert (review.created_at, review.ignored) == ("2026-01-02T00:00:00+00:00", ())


def test_schemas_that_others_refer_to_are_fetched_each_once() -> None:
    client = mock_client()  # skips without the extra
    from confluent_kafka.schema_registry.schema_registry_client import SchemaReference

    register(client, "app", {"type": "record", "name": "App", "fields": [{"name": "app_id", "type": "string"}]})
    on_app = [SchemaReference("App", "app", 1)]
    register(
        client,
        "author",
        {"type": "record", "name": "Author", "fields": [{"name": "of", "type": "App"}]},
        references=on_app,
    )
    fields = [{"name": "author", "type": "Author"}, {"name": "app", "type": "App"}, {"name": "text", "type": "string"}]
    schema = {"type": "record", "name": "Review", "fields": fields}
    number = register(client, "reviews-value", schema, references=[SchemaReference("Author", "author", 1), *on_app])
    found = fetch_schema(client, number)
    assert len(found.needs) == 2
    value = struct.pack(">bI", 0, number) + b"\x02a\x02b\x08good"
    decoded = WireReader("avro", lambda _: found).value(value)
    assert decoded == {"author": {"of": {"app_id": "a"}}, "app": {"app_id": "b"}, "text": "good"}


def test_a_schema_is_asked_for_once_and_an_unknown_one_once_a_minute() -> None:
    asked: list[SchemaKey] = []
    reader = reader_of(RegisteredSchema("AVRO", '"string"'), asked)
    assert [reader.value(b"\0\0\0\0\x07\x08good") for _ in range(3)] == ["good"] * 3
    assert asked == [7]
    now = [100.0]
    unknown = reader_of(None, asked, monotonic=lambda: now[0])
    for seconds in (0.0, 59.0, 2.0):
        now[0] += seconds
        assert refusal(unknown, b"\0\0\0\0\x09x").startswith("unknown_schema: value: schema 9 is not in the registry;")
    assert asked == [7, 9, 9]


def test_a_guid_in_the_header_names_the_schema_too() -> None:
    asked: list[SchemaKey] = []
    reader = reader_of(RegisteredSchema("AVRO", '"string"'), asked)
    guid = UUID("89791762-2336-4186-9674-299b90a802e2")
    assert reader.value(b"\x08good", [("__value_schema_id", b"\x01" + guid.bytes)]) == "good"
    assert asked == [str(guid)]


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (b'{"text": "a"}', "wrong_type: value: JSON without a schema id, expected a schema registry's wire format"),
        (b"good", "wrong_type: value: text, expected"),
        (b"\xff", "wrong_type: value: bytes that begin with 0xff, expected"),
        (b"", "wrong_type: value: no bytes, expected"),
        (b"\0\0\0\0", "wrong_type: value: text, expected"),
        (b"\0\0\0\0\x07\x08", "wrong_type: value: schema 7 did not write it (EOFError at reading)"),
    ],
)
def test_bytes_of_another_form_are_refused_with_what_came(value: bytes, answer: str) -> None:
    said = refusal(reader_of(RECORD), value)
    assert said.startswith(answer)
    assert ("WORKER_INPUT_FORMAT=auto reads JSON and plain text" in said) == ("expected" in answer)


def test_other_kinds_of_schemas() -> None:
    assert reader_of(RegisteredSchema("JSON", "{}")).value(b'\0\0\0\0\x07{"text": "a"}') == {"text": "a"}
    assert "schema 7 is PROTOBUF" in refusal(reader_of(RegisteredSchema("PROTOBUF", "")), b"\0\0\0\0\x07\x08good")
    assert refusal(reader_of(RegisteredSchema("AVRO", "{}")), b"\0\0\0\0\x07x").startswith("unknown_schema: ")


def test_json_is_read_without_asking_for_its_schema() -> None:
    reader = WireReader("json_schema", lambda key: pytest.fail(f"schema {key} was asked for"))
    assert reader.value(b'\0\0\0\0\x07{"text": "a"}') == {"text": "a"}
    assert refusal(reader, b"\0\0\0\0\x07\x08good").endswith("if it is Avro, WORKER_INPUT_FORMAT=avro reads it")


@pytest.mark.parametrize(
    ("schema", "key", "text"),
    [
        ('"string"', b"\0\0\0\0\x07\x04r1", b"r1"),
        ('"long"', b"\0\0\0\0\x07\x0e", b"7"),
        ('{"type": "record", "name": "K", "fields": [{"name": "id", "type": "int"}]}', b"\0\0\0\0\x07\x0e", b"7"),
        ('"bytes"', b"\0\0\0\0\x07\x02a", b"\0\0\0\0\x07\x02a"),
        ('"string"', b"\0\0\0\0\x07\x04", b"\0\0\0\0\x07\x04"),
        ('"string"', b"r1", b"r1"),
        ('"string"', None, None),
    ],
)
def test_a_key_in_the_wire_format_is_read_as_text(schema: str, key: bytes | None, text: bytes | None) -> None:
    assert reader_of(RegisteredSchema("AVRO", schema)).key(key) == text


@given(st.binary(max_size=60))
def test_no_bytes_end_the_reading_in_anything_but_a_refusal(payload: bytes) -> None:
    reader, value = reader_of(RECORD), b"\0\0\0\0\x07" + payload
    with suppress(InvalidReviewError):
        assert review_of(reader.value(value), FINDER).text.strip()


def test_what_is_unknown_and_what_may_be_shown() -> None:
    assert is_unknown(404, 40403)
    assert not is_unknown(404, 404)  # a server that is no registry
    assert not is_unknown(500, 50001)
    assert address_of("https://user:pass@registry:8081,https://other") == "https://registry:8081,https://other"
