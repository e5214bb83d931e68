"""The decoder and its client: which failures are an outage, which need an operator, and which are an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.input.value import InvalidReviewError
from tests.doubles import make_record
from tests.fixtures.schema_registry import AVRO_REVIEW, RegistryOverHttp, avro_value
from worker.errors import PermanentError, SettingsError, TransientError
from worker.kafka.registry.client import SchemaRegistry
from worker.kafka.registry.decoder import RegistryDecoder
from worker.records import Deleted, Pending, Rejected
from worker.settings import WorkerSettings
from worker.wiring import make_parser

PASSWORD = "p@ss word"
ROW = {"id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "comment": "love it", "grade": None}


def settings_of(registry: RegistryOverHttp, **more: Any) -> WorkerSettings:
    given = {"input_format": "avro", "schema_registry_url": registry.url, "text_field": "comment", "id_field": "id"}
    return WorkerSettings(_env_file=None, **{**given, **more})


@pytest.fixture
def registry() -> Iterator[RegistryOverHttp]:
    with RegistryOverHttp() as made:
        yield made


def test_a_record_is_parsed_by_its_schema_and_the_settings_of_the_fields(registry: RegistryOverHttp) -> None:
    value = avro_value(registry.client, "reviews", AVRO_REVIEW, ROW)
    parser = make_parser(settings_of(registry))
    outcome = parser.parse(make_record(value), "v")
    assert isinstance(outcome, Pending)
    assert (outcome.review_id, outcome.review.text) == (ROW["id"], "love it")
    other = parser.parse(make_record(b'{"comment": "love it"}'), "v")
    assert isinstance(other, Rejected)
    assert (other.letter.reason, other.letter.message.partition(",")[0]) == (
        "wrong_type",
        "value: JSON without a schema id",
    )
    assert registry.asked == ["/schemas/ids/1"]


def test_a_registry_that_is_away_or_overloaded_is_an_outage_and_ends_with_its_answer(
    registry: RegistryOverHttp,
) -> None:
    value = avro_value(registry.client, "reviews", AVRO_REVIEW, ROW)
    parser = make_parser(settings_of(registry))
    parser.ping()
    registry.stop()
    for away in (True, False):
        with pytest.raises(TransientError, match="schema_registry: WORKER_SCHEMA_REGISTRY_URL=http://127"):
            parser.parse(make_record(value), "v")
        with pytest.raises(TransientError):
            parser.ping()
        registry.status = 503
        if away:
            registry.start()
    registry.status = 200
    parser.ping()
    assert isinstance(parser.parse(make_record(value), "v"), Pending)


@pytest.mark.parametrize(("status", "hint"), [(401, "credentials"), (403, "credentials"), (404, "the address of a")])
def test_a_refusal_and_an_address_that_is_no_registry_need_an_operator(
    registry: RegistryOverHttp, status: int, hint: str
) -> None:
    registry.status = status
    decoder = RegistryDecoder("avro", SchemaRegistry(settings_of(registry)))
    with pytest.raises(PermanentError, match=f"HTTP status {status}.*{hint}"):
        decoder.decode(b"\0\0\0\0\x07x", [])


def test_an_unknown_schema_is_an_answer(registry: RegistryOverHttp) -> None:
    decoder = RegistryDecoder("avro", SchemaRegistry(settings_of(registry)))
    with pytest.raises(InvalidReviewError, match="schema 7 is not in the registry") as refused:
        decoder.decode(b"\0\0\0\0\x07x", [])
    assert refused.value.reason == "unknown_schema"
    decoder.ping()  # there is nothing to wait for


@pytest.mark.parametrize("in_url", [True, False])
def test_credentials_come_from_the_url_or_from_settings_and_are_never_shown(in_url: bool) -> None:
    with RegistryOverHttp(f"user:{PASSWORD}") as registry:
        given: dict[str, Any] = {"schema_registry_username": "user", "schema_registry_password": PASSWORD}
        if in_url:
            given = {"schema_registry_url": registry.url.replace("//", "//user:p%40ss%20word@")}
        SchemaRegistry(settings_of(registry, **given)).ping()
        with pytest.raises(PermanentError, match="credentials") as refused:
            SchemaRegistry(settings_of(registry)).ping()
        registry.stop()
        with pytest.raises(TransientError) as away:
            SchemaRegistry(settings_of(registry, **given)).ping()
        for secret in (PASSWORD, "p%40ss"):
            assert secret not in f"{refused.value}{away.value}{settings_of(registry, **given)!r}"


def test_a_change_event_in_avro_deletes_its_review(registry: RegistryOverHttp) -> None:
    row = {"type": "record", "name": "Row", "fields": [{"name": "id", "type": "int"}]}
    fields: list[dict[str, Any]] = [
        {"name": "before", "type": ["null", row]},
        {"name": "after", "type": ["null", "Row"]},
        {"name": "op", "type": "string"},
    ]
    event = {"type": "record", "name": "Envelope", "fields": fields}
    value = avro_value(registry.client, "reviews", event, {"before": {"id": 5}, "after": None, "op": "d"})
    parser = make_parser(settings_of(registry, input_preset="debezium", text_field=None, id_field=None))
    outcome = parser.parse(make_record(value), "v")
    assert isinstance(outcome, Deleted)
    assert outcome.review_id == "5"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"input_format": "avro"}, "WORKER_SCHEMA_REGISTRY_URL: needed with WORKER_INPUT_FORMAT=avro"),
        ({"schema_registry_url": "registry:8081"}, "takes http:// or https:// URLs"),
        ({"schema_registry_url": "http://u:p@[@registry"}, "takes http:// or https:// URLs"),
        ({"schema_registry_username": "u"}, "give both or neither"),
        (
            {
                "schema_registry_url": "http://u:p@r",
                "schema_registry_username": "u",
                "schema_registry_password": PASSWORD,
            },
            "has a user already",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        WorkerSettings(_env_file=None, **given)


def test_missing_packages_are_named(registry: RegistryOverHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(SettingsError, match="fastavro is not installed; pip install 'confluent-kafka\\[avro"):
        SchemaRegistry(settings_of(registry))
