"""Ratings as CloudEvents: the attributes, and that each mode reads back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.rating import Rating
from tests.doubles import make_rated, make_record
from worker.kafka.cloud_events import CloudEvents
from worker.kafka.outgoing import Outgoing, OutgoingForm
from worker.kafka.ratings_reader import RatingsReader
from worker.records import PlainRecord
from worker.settings import WorkerSettings

SETTINGS = WorkerSettings(_env_file=None)
RATED = make_rated("r-1/ключ", record=make_record(partition=2, offset=7, headers=[("traceparent", b"t")]))
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "reviews-2-7-stub-1",
    "source": "/starstream/reviews",
    "type": "starstream.rating.v1",
    "subject": "r-1/ключ",
    "time": "2026-01-01T00:00:00.000Z",
}


def published(*, structured: bool) -> Outgoing:
    return OutgoingForm(SETTINGS, rating_form=CloudEvents(structured=structured)).of(RATED)


def read_back(record: Outgoing) -> Rating | None:
    return RatingsReader(SETTINGS).read(PlainRecord("ratings", 0, 0, 0, record.key, record.value, record.headers))


def test_in_binary_mode_the_value_stays_and_the_attributes_are_headers() -> None:
    record = published(structured=False)
    assert record.value == RATED.value
    headers = {name: value.decode() for name, value in record.headers}
    named = {f"ce_{name}": text for name, text in ATTRIBUTES.items()}
    assert headers == {"content-type": "application/json", **named, "traceparent": "t"}
    assert read_back(record) == RATED.rating


def test_in_structured_mode_the_value_is_the_event() -> None:
    record = published(structured=True)
    event: Any = json.loads(record.value or b"")
    assert event == {**ATTRIBUTES, "datacontenttype": "application/json", "data": json.loads(RATED.value)}
    assert dict(record.headers)["content-type"] == b"application/cloudevents+json; charset=utf-8"
    assert read_back(record) == RATED.rating


@pytest.mark.parametrize("value", [None, b"text", b"{}", b'{"specversion": 1}', b'{"specversion"', b"\0\0\0\0\7x"])
def test_a_record_of_another_program_is_no_rating(value: bytes | None) -> None:
    assert RatingsReader(SETTINGS).read(PlainRecord("ratings", 0, 0, 0, b"k", value, [])) is None
