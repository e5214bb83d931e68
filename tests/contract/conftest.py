"""The worlds that the contract suites run on; a service is started only when a test needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from deploy.redis import LocalRedis
from schemas.output.rating_hash import Form
from tests.contract.worlds import (
    ClusterStoreWorld,
    KafkaStreamWorld,
    MemoryStoreWorld,
    MemoryStreamWorld,
    RedisStoreWorld,
    StoreWorld,
    StreamWorld,
)
from tests.fixtures.clustered import cluster_with_replicas


@pytest.fixture(params=["memory", "form 1", "form 2", "cluster form 1", "cluster form 2"])
def store_world(request: pytest.FixtureRequest) -> Iterator[StoreWorld]:
    form: Form = 2 if request.param.endswith("2") else 1
    if request.param == "memory":
        yield MemoryStoreWorld()
    elif "cluster" in request.param:
        yield from _cluster_world(request, form)
    else:
        yield from _redis_world(request, form)


@pytest.fixture(scope="session")
def redis_cluster(redis_server: LocalRedis) -> Iterator[Sequence[LocalRedis]]:
    """Three primaries without replicas; `redis_server` skips where there is no Redis."""
    del redis_server
    with cluster_with_replicas(replicas=False) as nodes:
        yield nodes


def _cluster_world(request: pytest.FixtureRequest, form: Form) -> Iterator[ClusterStoreWorld]:
    nodes: Sequence[LocalRedis] = request.getfixturevalue("redis_cluster")
    world = ClusterStoreWorld(nodes[0], form)
    yield world
    world.close()


@pytest.fixture(params=[1, 2], ids=["form 1", "form 2"])
def clustered_world(request: pytest.FixtureRequest) -> Iterator[ClusterStoreWorld]:
    """A store on three servers."""
    yield from _cluster_world(request, request.param)


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


@pytest.fixture(params=["confluent exactly_once", _KIP_848_ONCE], ids=["classic", "kip848"])
def librdkafka_world(request: pytest.FixtureRequest) -> Iterator[StreamWorld]:
    """For what is true of librdkafka under either protocol of the group."""
    yield from _stream_world(request.param, request)
