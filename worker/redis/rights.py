"""Which commands the worker uses on which keys, and whether its Redis user may.

Owns that table; deploy/README.md shows it, and a test holds the two together. `check` tries every right under keys that
no review has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final
from uuid import uuid4

from prometheus_client import CollectorRegistry
from redis.exceptions import NoPermissionError

from worker.clock import SystemClock
from worker.errors import PermanentError
from worker.ops.metrics import Metrics
from worker.records import Deleted, PlainRecord
from worker.redis.client import connect, translated
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings

# The keys, after WORKER_REDIS_PREFIX, and what `run` does with them, in the order in which it is tried: DEL is last.
KEYS: Final[Mapping[str, Sequence[str]]] = {
    "rating:": ("HSET", "HMGET", "EXISTS", "EXPIRE", "DEL"),
    "deleted:": ("HSET", "HMGET", "EXISTS", "EXPIRE", "DEL"),
    "summary:": ("HINCRBY", "DEL"),
    "trend:": ("HINCRBY", "EXISTS", "EXPIRE", "DEL"),
    "counted:": ("GET", "SET"),
    "attempts:": ("HSET", "HMGET", "DEL"),
}
_IN_CLUSTERS: Final = "counted:"
# Without a key of their own. CLUSTER and COMMAND only with WORKER_REDIS_CLUSTER, WAIT only with ..._WAIT_REPLICAS.
COMMANDS: Final = ("EVALSHA", "SCRIPT LOAD", "PING", "CLIENT SETNAME", "WAIT", "CLUSTER", "COMMAND")
_ARGUMENTS: Final[Mapping[str, tuple[str | int, ...]]] = {
    "HSET": ("x", 1), "HMGET": ("x",), "HINCRBY": ("x", 1), "EXPIRE": (60,), "SET": ("x", "EX", 60),
}  # fmt: skip


def require_rights(settings: WorkerSettings) -> None:
    """Write, read and delete a key of each kind, and run the script that writes ratings.

    Raises:
        PermanentError: rights are missing; it names all of them.
    """
    client: Any = connect(settings)
    mark = uuid4().hex
    with closing(client), translated("WORKER_REDIS_URL", client):
        client.ping()  # names CLIENT SETNAME, too, which every connection begins with
        missing = [] if _may(client, "SCRIPT LOAD", "return 1") else ["SCRIPT LOAD"]
        missing += [
            f"{command} on {settings.redis_prefix}{kind}*"
            for kind, commands in KEYS.items()
            for command in commands
            if settings.redis_cluster or kind != _IN_CLUSTERS
            # A review's key would end with a brace.
            if not _may(client, command, f"{settings.redis_prefix}{kind}{{}}{mark}")
        ]
        if missing:
            raise PermanentError("redis", f"WORKER_REDIS_URL: its user has no right to {', '.join(missing)}")
        _run_script(settings, review_id := f"}}{mark}")
        for kind in ("rating:", "deleted:"):
            client.delete(f"{settings.redis_prefix}{kind}{{{review_id}}}")


def _run_script(settings: WorkerSettings, review_id: str) -> None:
    """Delete a review that was never there, as a tombstone does."""
    metrics = Metrics(CollectorRegistry())
    with closing(RedisStore(settings, metrics=metrics, clock=SystemClock(), topic_id=lambda _topic: "")) as store:
        store.send([Deleted(PlainRecord("starstream-check", 0, 0, 0), review_id)])
        store.flush()


def _may(client: Any, command: str, first: str) -> bool:
    try:
        client.execute_command(command, first, *_ARGUMENTS.get(command, ()))
    except NoPermissionError:
        return False
    return True
