"""Connects to Redis, and translates redis-py's errors into ours.

Owns the one place where that translation happens (`tests/unit/worker/test_errors.py` walks redis-py's error classes).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import PermanentError, ServiceError, TransientError
from worker.ops.metrics import Metrics
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
# Codes of transient errors that have no class of their own in redis-py.
_TRANSIENT_CODES: Final = ("MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY", "LOADING")


def connect(settings: WorkerSettings, **options: Any) -> redis.Redis | redis.RedisCluster:
    """Return a client for the server or cluster that the settings name; it connects when first used.

    Raises:
        ServiceError: the URL cannot be read, or no node of the cluster answers.
    """
    url = settings.redis_url.get_secret_value()
    options = {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "client_name": settings.kafka_client_id,
        **options,
    }
    with translated("WORKER_REDIS_URL"):
        if settings.redis_cluster:
            return redis.RedisCluster.from_url(url, **options)
        # One immediate retry: a connection that the server closed while it was idle is not an outage.
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1), health_check_interval=30, **options)


def translate(error: Exception, doing: str) -> ServiceError:
    """Return our error for one of the client's."""
    transient = isinstance(error, TRANSIENT) and not isinstance(error, PERMANENT)
    transient = transient or str(error).startswith(_TRANSIENT_CODES)
    kind = TransientError if transient else PermanentError
    return kind("redis", f"{doing}: {type(error).__name__}: {str(error)[:300]}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the client raises inside into our errors.

    Raises:
        ServiceError: instead of any `RedisError`.
    """
    try:
        yield
    except (redis_errors.RedisError, redis_errors.RedisClusterException) as error:
        raise translate(error, doing) from error


@contextmanager
def counted(metrics: Metrics, doing: str) -> Iterator[None]:
    """Do as `translated`, and count the error.

    Raises:
        ServiceError: instead of any `RedisError`.
    """
    try:
        with translated(doing):
            yield
    except ServiceError as error:
        metrics.sink_errors.labels("redis", error.kind).inc()
        raise
