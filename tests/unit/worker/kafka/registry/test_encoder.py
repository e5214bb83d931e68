"""Ratings in a schema registry's wire format: what is registered, what other readers get, and what failures are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.doubles import make_rated
from tests.fixtures.schema_registry import RegistryOverHttp
from worker.errors import PermanentError, TransientError
from worker.kafka.ratings_reader import RatingsReader
from worker.kafka.registry.client import SchemaRegistry
from worker.kafka.registry.encoder import RatingEncoder
from worker.records import PlainRecord
from worker.settings import WorkerSettings

RATED = make_rated("r1", app_id="app")


@pytest.fixture
def registry() -> Iterator[RegistryOverHttp]:
    with RegistryOverHttp() as made:
        yield made


def settings_of(registry: RegistryOverHttp, form: str) -> WorkerSettings:
    given: dict[str, Any] = {"output_format": form, "schema_registry_url": registry.url}
    return WorkerSettings(_env_file=None, **given)


@pytest.mark.parametrize("form", ["avro", "json_schema"])
def test_the_schema_is_registered_once_and_the_value_is_what_other_readers_read(
    registry: RegistryOverHttp, form: Any
) -> None:
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    settings = settings_of(registry, form)
    for _ in range(2):  # a worker, and its next
        encoder = RatingEncoder(form, SchemaRegistry(settings), "ratings")
        values = {encoder.of(RATED)[0] for _ in range(3)}
    lookup, register = "/subjects/ratings-value", "/subjects/ratings-value/versions"
    asked = [path.partition("?")[0] for path in registry.asked]
    assert asked == [lookup, register, lookup]
    (value,) = values
    read: Any = RatingsReader(settings).read(PlainRecord("ratings", 0, 0, 0, b"r1", value, []))
    assert read == RATED.rating
    if form == "avro":
        deserializer: Any = AvroDeserializer(registry.client)
        found = deserializer(value, SerializationContext("ratings", MessageField.VALUE))
        assert (found["review_id"], found["source"]["topic"], found["author_score"]) == ("r1", "reviews", None)
    else:
        assert value[5:] == RATED.value


def test_a_registry_that_is_away_is_an_outage_and_ends_with_its_answer(registry: RegistryOverHttp) -> None:
    encoder = RatingEncoder("avro", SchemaRegistry(settings_of(registry, "avro")), "ratings")
    registry.stop()
    for call in (lambda: encoder.of(RATED), encoder.ping):
        with pytest.raises(TransientError, match="look up the schema of ratings-value"):
            call()
    registry.start()
    encoder.ping()
    registry.stop()
    assert encoder.of(RATED)[0][:5] == b"\0\0\0\0\1", "it is not asked again"


def test_a_missing_right_to_register_names_the_file_to_register(registry: RegistryOverHttp) -> None:
    encoder = RatingEncoder("avro", SchemaRegistry(settings_of(registry, "avro")), "ratings")
    registry.read_only = True
    with pytest.raises(PermanentError, match=r"register the schema of ratings-value .schemas/json/.*HTTP status 403"):
        encoder.ping()


@pytest.mark.parametrize("form", ["avro", "json_schema"])
def test_the_registry_must_be_named(form: Any) -> None:
    with pytest.raises(ValueError, match=f"WORKER_SCHEMA_REGISTRY_URL: needed with WORKER_OUTPUT_FORMAT={form}"):
        WorkerSettings(_env_file=None, output_format=form)
