"""Ratings by review id, in Redis: one round trip a part of a batch, fenced and idempotent.

Owns the keys' contents and the one place where redis-py's exceptions become ours. The rules of the fence are in
`write.lua` beside this file; the client is redis-py, also for a cluster, where each review is a call of its own
because its keys live in a slot of their own, sent as one pipeline a node.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.rating import rating_key, summary_key
from worker.clock import Clock
from worker.errors import PermanentError, ServiceError, TransientError
from worker.ops.metrics import Metrics
from worker.records import Deleted, Outcome, Partition, Rated, Rejected
from worker.redis.in_flight import Ahead
from worker.settings import WorkerSettings
from worker.stream.poison import Attempt

_SCRIPT: Final = (Path(__file__).parent / "write.lua").read_text(encoding="utf-8")
_SCRIPT_SHA1: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
# A call holds Redis's one thread: 256 reviews are about 2 ms, which other clients do not notice.
_CALL_REVIEWS: Final = 256
_MARKER_TTL_S: Final = 24 * 3600  # a deletion is remembered so long, against writers that come late
_Call = list[Any]  # the arguments of one EVALSHA: number of keys, keys, values
_RESULTS: Final = {"w": "written", "d": "deleted", "s": "stale", "r": "replayed"}

# These come back by themselves, or once an operator has freed memory or ended a failover.
TRANSIENT: Final[tuple[type[Exception], ...]] = (
    redis_errors.RedisClusterException,  # no RedisError: what the cluster client says when no node answers
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterDownError,
    redis_errors.ClusterError,
    redis_errors.AskError,
    redis_errors.TryAgainError,
)
# Kinds of ConnectionError that waiting does not heal.
PERMANENT: Final[tuple[type[redis_errors.RedisError], ...]] = (
    redis_errors.AuthenticationError,
    redis_errors.AuthorizationError,
)


def translate(error: Exception, doing: str) -> ServiceError:
    """Return our error for one of the client's."""
    transient = isinstance(error, TRANSIENT) and not isinstance(error, PERMANENT)
    # Some of a server's words for "later" have no class of their own.
    transient = transient or str(error).startswith(("MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY", "LOADING"))
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


class RedisStore:
    """The Store port on a Redis server or cluster. For one thread.

    Args:
        settings: URL, prefix, life of a rating.
        metrics: results and errors are counted here.
        clock: times the writes.
        topic_id: the incarnation of a topic, so that one that was deleted and created again is not locked out by
            its old offsets; `""` where the brokers tell none.
    """

    def __init__(
        self, settings: WorkerSettings, *, metrics: Metrics, clock: Clock, topic_id: Callable[[str], str]
    ) -> None:
        self._prefix = settings.redis_prefix
        self._attempts_key = f"{self._prefix}attempts:{{{settings.group_id}}}"
        self._ttl_s = settings.redis_ttl_s
        self._summary = settings.redis_summary
        self._metrics = metrics
        self._clock = clock
        self._topic_id = topic_id
        options: dict[str, Any] = {
            "socket_timeout": settings.redis_timeout_s,
            "socket_connect_timeout": settings.redis_timeout_s,
            "client_name": settings.kafka_client_id,
        }
        url = settings.redis_url.get_secret_value()
        with translated("WORKER_REDIS_URL"):
            self._cluster = redis.RedisCluster.from_url(url, **options) if settings.redis_cluster else None
            # One retry at once: a connection the server closed while idle is not an outage.
            self._client = (
                None
                if self._cluster
                else redis.Redis.from_url(url, retry=Retry(NoBackoff(), 1), health_check_interval=30, **options)
            )
        self._told_script = False
        self._ahead: Ahead[Rated | Deleted] | None = Ahead(self._client.connection_pool) if self._client else None

    def begin(self, settled: Sequence[Outcome]) -> None:
        """Send the next part of a batch, and do not wait for the answer; a cluster gets no head start.

        Redis works on it while the loop rates the next part. Nothing is promised until `write`.

        Raises:
            ServiceError: Redis hangs. Whatever else goes wrong, `write` tries again and says.
        """
        rows = [each for each in settled if not isinstance(each, Rejected)]
        if rows and self._ahead is not None:
            with self._counted("begin to write ratings"):
                if not self._told_script:
                    with suppress(redis_errors.RedisError):  # without it, `write` sends all again
                        self._any().script_load(_SCRIPT)
                        self._told_script = True
                self._ahead.send(rows, [("EVALSHA", _SCRIPT_SHA1, *call) for call in self._calls(rows)])

    def write(self, settled: Sequence[Outcome]) -> None:
        """Write ratings and deletions, in order, and return once they are stored. Writing twice is writing once.

        Raises:
            ServiceError: nothing, or only a part, was stored.
        """
        self.write_counted(settled)

    def write_counted(self, settled: Sequence[Outcome]) -> Mapping[str, int]:
        """Do as `write`, and return how many were written, deleted, stale (an older record's) and replayed.

        Raises:
            ServiceError: nothing, or only a part, was stored.
        """
        rows = [each for each in settled if not isinstance(each, Rejected)]
        if not rows:
            return {}
        started = self._clock.monotonic()
        with self._counted("write ratings"):
            sent, answers = self._ahead.answers(rows) if self._ahead is not None else (0, [])
            if sent < len(rows):
                answers += self._run(self._calls(rows[sent:]))
        self._metrics.sink_seconds.labels("redis").observe(self._clock.monotonic() - started)
        results = [answer.decode() for answer in answers]
        counts = {name: sum(result.count(letter) for result in results) for letter, name in _RESULTS.items()}
        for name, count in counts.items():
            self._metrics.redis_writes.labels(name).inc(count)
        return counts

    def load_attempts(self, partitions: Sequence[Partition]) -> Mapping[Partition, Attempt]:
        """Return the notes of these partitions; see `worker.stream.poison`.

        Raises:
            ServiceError: Redis is away.
        """
        with self._counted("read attempts"):
            found = self._any().hmget(self._attempts_key, [f"{each.topic}-{each.partition}" for each in partitions])
        notes = {}
        for partition, note in zip(partitions, found, strict=True):
            if note is not None:
                first, last, lives, life = note.decode().split(":")
                notes[partition] = Attempt(int(first), int(last), int(lives), life)
        return notes

    def save_attempts(self, attempts: Mapping[Partition, Attempt]) -> None:
        """Replace the notes of these partitions.

        Raises:
            ServiceError: Redis is away.
        """
        notes = {
            f"{at.topic}-{at.partition}": f"{note.first}:{note.last}:{note.lives}:{note.life}"
            for at, note in attempts.items()
        }
        with self._counted("note attempts"):
            self._any().hset(self._attempts_key, mapping=notes)

    def ping(self) -> None:
        """Return if Redis answers; what was begun and given up is forgotten.

        Raises:
            ServiceError: it does not.
        """
        if self._ahead is not None:
            self._ahead.drop()
        with translated("WORKER_REDIS_URL"):
            self._any().ping()

    def close(self) -> None:
        """Give the connections back."""
        if self._ahead is not None:
            self._ahead.drop()
        self._any().close()

    @contextmanager
    def _counted(self, doing: str) -> Iterator[None]:
        try:
            with translated(doing):
                yield
        except ServiceError as error:
            self._metrics.sink_errors.labels("redis", error.kind).inc()
            raise

    def _any(self) -> Any:
        return self._client if self._cluster is None else self._cluster

    def _calls(self, rows: Sequence[Rated | Deleted]) -> list[_Call]:
        size = _CALL_REVIEWS if self._cluster is None else 1
        return [self._call(rows[start : start + size]) for start in range(0, len(rows), size)]

    def _call(self, rows: Sequence[Rated | Deleted]) -> _Call:
        """Return the arguments of one EVALSHA, as `write.lua` lists them, behind the number of keys."""
        apps = {each.rating.app_id for each in rows if isinstance(each, Rated) and each.rating.app_id}
        summaries: dict[str | None, int] = {
            app: 2 * len(rows) + 1 + number for number, app in enumerate(sorted(apps) if self._summary else ())
        }
        topics: dict[str, int] = {}
        keys: list[str] = []
        ratings: list[bytes] = []
        numbers: list[int] = []
        for each in rows:
            record, summary = each.record, 0
            if isinstance(each, Rated):
                review_id = each.rating.review_id
                ratings.append(each.value)
                summary = summaries.get(each.rating.app_id, 0)
            else:
                review_id = each.review_id
                ratings.append(b"null")
            keys += self._keys(review_id)
            topic = topics.setdefault(record.topic, len(topics))
            numbers += (topic, record.partition, record.offset, record.timestamp, summary)
        keys += (summary_key(str(app), prefix=self._prefix) for app in summaries)
        known = [name for topic in topics for name in (topic, self._topic_id(topic))]
        values = b"[" + b",".join(ratings) + b"]"
        return [len(keys), *keys, values, json.dumps(numbers), json.dumps(known), self._ttl_s, _MARKER_TTL_S]

    def _keys(self, review_id: str) -> tuple[str, str]:
        """Return the keys of a rating and of its deletion's marker."""
        rating = rating_key(review_id, prefix=self._prefix)
        if self._cluster is not None and review_id.startswith("}"):
            return rating, rating  # `{}` is no hash tag: no other key is sure to be in its slot
        return rating, f"{self._prefix}deleted:{{{review_id}}}"

    def _run(self, calls: Sequence[_Call]) -> list[bytes]:
        if self._client is not None:
            return _pipelined(self._client, calls)
        assert self._cluster is not None  # noqa: S101  (one of the two is there)
        by_node: dict[Any, list[_Call]] = {}
        for call in calls:
            node = self._cluster.get_node_from_key(str(call[1]))  # type: ignore[no-untyped-call]
            if node is None:
                raise redis_errors.ClusterDownError(f"no node serves the slot of {call[1]}")
            by_node.setdefault(node, []).append(call)
        try:
            return [
                result
                for node, its_calls in by_node.items()
                for result in _pipelined(self._cluster.get_redis_connection(node), its_calls)
            ]
        except redis_errors.MovedError as error:
            self._cluster.nodes_manager.initialize()  # slots moved: learn where to, and let the loop try again
            raise redis_errors.TryAgainError(str(error)) from error


def _pipelined(client: redis.Redis, calls: Sequence[_Call]) -> list[bytes]:
    """Send the calls in one round trip; load the script and send them again where the server has forgotten it."""
    for last in (False, True):
        pipeline = client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(_SCRIPT_SHA1, *call)
        try:
            return pipeline.execute()
        except redis_errors.NoScriptError:
            if last:
                raise
            client.script_load(_SCRIPT)
    raise AssertionError("unreachable")
