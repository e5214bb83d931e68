"""Connects to Redis, and translates redis-py's errors into ours.

Owns the one place where that translation happens (`tests/unit/worker/test_errors.py` walks redis-py's error classes),
and the rule that an outage ends every connection: after a failover behind a stable address the open ones still end at
the old primary, which is a replica now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from worker.errors import PermanentError, ServiceError, TransientError
from worker.ops.metrics import Metrics
from worker.redis_settings import SentinelAddress, read_redis_url
from worker.settings import WorkerSettings

# These resolve by themselves, or once an operator has freed memory or completed a failover.
TRANSIENT: Final[tuple[type[Exception], ...]] = (
    redis_errors.RedisClusterException,  # not a RedisError: the cluster client raises it when no node answers
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterDownError,
    redis_errors.ClusterError,
    redis_errors.AskError,
    redis_errors.TryAgainError,
)
# Kinds of ConnectionError that retrying does not help against.
PERMANENT: Final[tuple[type[redis_errors.RedisError], ...]] = (
    redis_errors.AuthenticationError,
    redis_errors.AuthorizationError,
)
# Their codes. redis-py knows an error by a code at the start of its text only, and Redis 6.2 puts the place in the
# script there: `@user_script: 84: -READONLY ...`, `ERR Error running script (...): @user_script:84: -OOM ...`.
_TRANSIENT_CODE: Final = re.compile(
    r"(?<![\w'\"])(READONLY|MASTERDOWN|LOADING|NOREPLICAS|MISCONF|OOM|CLUSTERDOWN|TRYAGAIN|BUSY|UNBLOCKED)(?!\w)"
)
# redis-py puts this before the errors of a pipeline; the command in it holds keys, and so words that users chose.
_IN_PIPELINE: Final = " of pipeline caused error: "
_NOT_IN_A_NAME: Final = re.compile("[^!-~]")  # CLIENT SETNAME refuses spaces and what is not ASCII


def connect(settings: WorkerSettings, **options: Any) -> redis.Redis | redis.RedisCluster:
    """Return a client for the server, Sentinels or cluster that the settings name; it connects when first used.

    Raises:
        ServiceError: no node of the cluster answers.
    """
    url = settings.redis_url.get_secret_value()
    options = {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "client_name": _NOT_IN_A_NAME.sub("-", settings.kafka_client_id),
        **options,
    }
    with translated("WORKER_REDIS_URL"):
        if settings.redis_cluster:
            return redis.RedisCluster.from_url(url, **options)
        # One immediate retry: a connection that the server closed while it was idle is not an outage.
        options |= {"retry": Retry(NoBackoff(), 1), "health_check_interval": 30}
        sentinels = read_redis_url(url)
        if sentinels is not None:
            return _follow(sentinels, options)
        return redis.Redis.from_url(url, **options)


class _Sentinels(Sentinel):
    """redis-py's, with the reason of each Sentinel in the error; its own error shows the clients instead."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        reasons = []
        is_up: Callable[[Any, str], bool] = self.check_master_state
        for sentinel in self.sentinels:
            try:
                states: Any = sentinel.sentinel_masters()
            except (redis_errors.ConnectionError, redis_errors.TimeoutError) as error:
                reasons.append(str(error))
                continue
            state = states.get(service_name)
            if state is not None and is_up(state, service_name):
                return state["ip"], state["port"]
            reasons.append("it is down" if state is not None else "it is not watched")
        raise MasterNotFoundError(f"the Sentinels name no primary {service_name!r}: {'; '.join(reasons)}")


def _follow(address: SentinelAddress, options: dict[str, Any]) -> redis.Redis:
    """Return a client that asks the Sentinels for the primary whenever it connects."""
    tls = {"ssl": True} if address.tls else {}
    times = {name: value for name, value in options.items() if name.startswith("socket_")}
    typed: Any = parse_url
    given = typed(f"redis://?{urlencode(address.options)}")
    with_tls = {name: value for name, value in given.items() if name.startswith("ssl_")} | tls
    untyped: Any = _Sentinels
    sentinel = untyped(address.sentinels, sentinel_kwargs={**times, **with_tls, **address.sentinel_options})
    client: redis.Redis = sentinel.master_for(address.service, **options | tls | given)
    return client


def drop_connections(client: Any) -> None:
    """Close every connection that is not in use, so that the next call looks up the address, or asks the Sentinels.

    One in use belongs to calls whose replies are awaited (`in_flight`): if they fail, it is dropped after them.
    """
    if isinstance(client, redis.RedisCluster):
        for node in client.nodes_manager.nodes_cache.values():
            if node.redis_connection is not None:
                drop_connections(node.redis_connection)
    else:
        client.connection_pool.disconnect(inuse_connections=False)


def close(client: redis.Redis | redis.RedisCluster) -> None:
    """Close a client, and its clients of the Sentinels."""
    client.close()
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    if manager is not None:
        manager.close()


def translate(error: Exception, doing: str) -> ServiceError:
    """Return our error for one of the client's."""
    transient = isinstance(error, TRANSIENT) and not isinstance(error, PERMANENT)
    said = str(error).rpartition(_IN_PIPELINE)[2]
    kind = TransientError if transient or _TRANSIENT_CODE.search(said) else PermanentError
    return kind("redis", f"{doing}: {type(error).__name__}: {said[:300]}")


@contextmanager
def translated(doing: str, client: redis.Redis | redis.RedisCluster | None = None) -> Iterator[None]:
    """Turn what the client raises inside into our errors; after a transient one, drop its connections.

    Raises:
        ServiceError: instead of any `RedisError`.
    """
    try:
        yield
    except (redis_errors.RedisError, redis_errors.RedisClusterException) as error:
        ours = translate(error, doing)
        if client is not None and isinstance(ours, TransientError):
            drop_connections(client)
        raise ours from error


@contextmanager
def counted(metrics: Metrics, doing: str, client: redis.Redis | redis.RedisCluster) -> Iterator[None]:
    """Do as `translated`, and count the error.

    Raises:
        ServiceError: instead of any `RedisError`.
    """
    try:
        with translated(doing, client):
            yield
    except ServiceError as error:
        metrics.sink_errors.labels("redis", error.kind).inc()
        raise
