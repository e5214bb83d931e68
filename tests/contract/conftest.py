"""The worlds that the contract suites run on; a service is started only when a test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from schemas.output.rating_hash import Form
from tests.contract.worlds import (
    KafkaStreamWorld,
    MemoryStoreWorld,
    MemoryStreamWorld,
    RedisStoreWorld,
    StoreWorld,
    StreamWorld,
)


@pytest.fixture(params=["memory", "form 1", "form 2"])
def store_world(request: pytest.FixtureRequest) -> Iterator[StoreWorld]:
    if request.param == "memory":
        yield MemoryStoreWorld()
    else:
        yield from _redis_world(request, 1 if request.param == "form 1" else 2)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def _redis_world(request: pytest.FixtureRequest, form: Form) -> Iterator[RedisStoreWorld]:
    world = RedisStoreWorld(request.getfixturevalue("redis_server"), form)
    yield world
    world.close()


@pytest.fixture(params=[1, 2], ids=["form 1", "form 2"])
def redis_world(request: pytest.FixtureRequest) -> Iterator[RedisStoreWorld]:
    """A store that writes hashes of either form (WORKER_REDIS_FORM)."""
    yield from _redis_world(request, request.param)


def _stream_world(kind: str, request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    world: StreamWorld = MemoryStreamWorld()
    if kind != "memory":
        client, delivery, *protocol = kind.split(" ")
        world = KafkaStreamWorld(request.getfixturevalue("kafka"), delivery, client, *protocol)
    world.create(world.topic, world.output_topic, world.dead_letter_topic)
    yield world
    world.close()


_CLIENTS = ("kafka-python", "confluent")
_MODES = ("at_least_once", "exactly_once")
_KIP_848 = "confluent at_least_once consumer"
_KIP_848_ONCE = "confluent exactly_once consumer"


@pytest.fixture(
    params=["memory", *(f"{client} at_least_once" for client in _CLIENTS), _KIP_848],
    ids=["memory", *_CLIENTS, "kip848"],
)
def stream_world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    """For the Source suite."""
    yield from _stream_world(request.param, request)


@pytest.fixture(params=[f"{client} {mode}" for client in _CLIENTS for mode in _MODES])
def kafka_world(request: pytest.FixtureRequest) -> Iterator[KafkaStreamWorld]:
    """For what only real brokers do."""
    for world in _stream_world(request.param, request):
        assert isinstance(world, KafkaStreamWorld)
        yield world


@pytest.fixture(params=["memory", *(f"{client} {mode}" for client in _CLIENTS for mode in _MODES), _KIP_848_ONCE])
def delivery_world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    """For the Delivery suite."""
    yield from _stream_world(request.param, request)


@pytest.fixture
def python_world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    """For what is true of kafka-python only."""
    yield from _stream_world("kafka-python at_least_once", request)


@pytest.fixture
def confluent_world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    """For what is true of librdkafka only."""
    yield from _stream_world("confluent exactly_once", request)
