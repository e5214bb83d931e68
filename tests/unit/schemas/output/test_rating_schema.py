"""The rating as a registered schema: what is written by it reads back, and a bare rating too."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from jsonschema_rs import Draft7Validator

from schemas.output.rating_schema import avro_text, json_text
from schemas.rating import RATING, Rating
from tests.doubles import make_rated
from tests.fixtures.schema_registry import require_registry_packages

BARE = make_rated().rating
KNOWN = replace(
    BARE,
    app_id="app",
    created_at="2026-01-01",
    app_version="1.2",
    author_score=4.5,
    mismatch=True,
    reasons=["no", "!!"],
    labels={"joy": 0.5, "relief": 0.25},
    unknown_share=0.5,
)


@pytest.mark.parametrize("rating", [BARE, KNOWN])
def test_a_rating_written_in_avro_reads_back(rating: Rating) -> None:
    require_registry_packages()
    import fastavro

    schema = fastavro.parse_schema(json.loads(avro_text()))
    written = BytesIO()
    fastavro.schemaless_writer(written, schema, RATING.dump_python(rating), strict_allow_default=True)
    found: Any = fastavro.schemaless_reader(BytesIO(written.getvalue()), schema, None)
    assert list(found) == [*json.loads(KNOWN.to_json())], "all fields, in the order of the JSON"
    assert RATING.validate_python(found) == rating


@pytest.mark.parametrize("rating", [BARE, KNOWN])
def test_a_rating_in_json_keeps_the_registered_schema(rating: Rating) -> None:
    schema = json.loads(json_text())
    validator = Draft7Validator(schema)
    validator.validate(json.loads(rating.to_json()))
    assert not validator.is_valid({**json.loads(rating.to_json()), "source": {"topic": 5}})
