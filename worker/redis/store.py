"""Ratings by review id, in Redis: one round trip per chunk of a batch, fenced and idempotent.

Owns the contents of the rating, deletion and summary keys. The rules of the fence are in `write.lua`. In a cluster each
review is a call of its own, because each has its own slot; the calls are sent as one pipeline per node.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redis import exceptions as redis_errors
from typing_extensions import override

from schemas.rating import HASH_FIELDS, WHERE_KNOWN, rating_key, summary_key
from worker.clock import Clock
from worker.ops.metrics import Metrics
from worker.records import Deleted, Outcome, Rated, Rejected
from worker.redis.client import close, connect, counted, translated
from worker.redis.in_flight import InFlight
from worker.settings import WorkerSettings
from worker.stream.ports import Store

_SCRIPT: Final = (Path(__file__).parent / "write.lua").read_text(encoding="utf-8")
_SCRIPT_SHA1: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
# A call occupies Redis's only thread: 256 reviews take about 2 ms, which other clients do not notice.
_CALL_REVIEWS: Final = 256
_MARKER_TTL_S: Final = 24 * 3600  # how long a deletion is remembered, to refuse late writes
_PROBE_TTL_S: Final = 60
_MOST_PROBES: Final = 10_000  # enough to meet the slots of hundreds of primaries
_FIELDS: Final = json.dumps([name for name in HASH_FIELDS if name not in WHERE_KNOWN])
_WHERE_KNOWN: Final = json.dumps(WHERE_KNOWN)
_Call = list[Any]  # the arguments of one EVALSHA: number of keys, keys, values
_RESULTS: Final = {"w": "written", "d": "deleted", "s": "stale", "r": "replayed"}


class RedisStore(Store):
    """The Store port on a Redis server or cluster. For one thread.

    Args:
        topic_id: returns the brokers' id of a topic, `""` when they have none. It is part of a position, so that the
            old offsets of a topic that was deleted and created again do not make its new records stale.
    """

    def __init__(
        self, settings: WorkerSettings, *, metrics: Metrics, clock: Clock, topic_id: Callable[[str], str]
    ) -> None:
        self._prefix = settings.redis_prefix
        self._ttl_s = settings.redis_ttl_s
        self._summary = settings.redis_summary
        self._metrics = metrics
        self._clock = clock
        self._topic_id = topic_id
        client: Any = connect(settings)
        self._client = client
        self._cluster = client if settings.redis_cluster else None
        self._in_flight = None if settings.redis_cluster else InFlight(client.connection_pool)
        wait_ms = round(settings.redis_timeout_s * 500)  # half, so that the answer comes in time
        self._wait = ("WAIT", settings.redis_wait_replicas, wait_ms) if settings.redis_wait_replicas else None
        self._calls: list[_Call] = []  # of the batch: sent and not flushed
        self._script_loaded = False

    def send(self, outcomes: Sequence[Outcome]) -> None:
        """Send part of a batch: Redis executes it while the loop continues. A cluster is written to in `flush` only.

        Raises:
            ServiceError: Redis hangs. After any other error `flush` sends everything again.
        """
        rows = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
        if not rows:
            return
        calls = self._calls_for(rows)
        self._calls += calls
        if self._in_flight is None:
            return
        with counted(self._metrics, "send ratings", self._client):
            if not self._script_loaded:
                with suppress(redis_errors.RedisError):
                    self._client.script_load(_SCRIPT)
                    self._script_loaded = True
            self._in_flight.send([("EVALSHA", _SCRIPT_SHA1, *call) for call in calls])

    @override
    def flush(self) -> Mapping[str, int]:
        calls, self._calls = self._calls, []
        if not calls:
            return {}
        started = self._clock.monotonic()
        with counted(self._metrics, "write ratings", self._client):
            replies = self._replies_in_flight()
            replies += self._run(calls[len(replies) :])
        self._metrics.sink_seconds.labels("redis").observe(self._clock.monotonic() - started)
        letters = Counter(b"".join(replies).decode())
        counts = {name: letters[letter] for letter, name in _RESULTS.items()}
        for name, count in counts.items():
            self._metrics.redis_writes.labels(name).inc(count)
        return counts

    @override
    def abandon(self) -> None:
        self._calls = []
        if self._in_flight is not None:
            self._in_flight.abandon()

    @override
    def ping(self) -> None:
        with translated("WORKER_REDIS_URL", self._client):
            for key in self._probe_keys():
                self._client.hset(key, "probe", 1)
                self._client.expire(key, _PROBE_TTL_S)

    def close(self) -> None:
        """Close the connections."""
        self.abandon()
        close(self._client)

    def _probe_keys(self) -> list[str]:
        """Return a key of each primary; they look like markers, for the sake of ACLs, but no review has these."""
        keys = (f"{self._prefix}deleted:{{}}{number}" for number in range(_MOST_PROBES))
        if self._cluster is None:
            return [next(keys)]
        self._cluster.nodes_manager.initialize()  # a replica may have been promoted
        primaries = len(self._cluster.get_primaries())
        found: dict[Any, str] = {}
        while len(found) < primaries and (key := next(keys, None)) is not None:
            found.setdefault(self._cluster.get_node_from_key(key), key)
        return list(found.values())

    def _replies_in_flight(self) -> list[bytes]:
        if self._in_flight is None:
            return []
        if self._wait is not None:
            self._in_flight.send([self._wait])
        return self._accepted(self._in_flight.replies())

    def _accepted(self, replies: list[Any]) -> list[bytes]:
        """Return the replies of the script, without that of WAIT.

        Raises:
            RedisError: Redis refused a call, or too few replicas have the writes: a failover would lose them.
        """
        have = replies.pop() if self._wait is not None and replies else None
        for refused in (reply for reply in replies if isinstance(reply, Exception)):
            raise refused
        if self._wait is not None and have is not None and (isinstance(have, Exception) or have < self._wait[1]):
            what = f"{self._wait[1]} replicas (WORKER_REDIS_WAIT_REPLICAS) must have the ratings"
            raise redis_errors.TryAgainError(f"{what}: after {self._wait[2]} ms {have}")
        return replies

    def _calls_for(self, rows: Sequence[Rated | Deleted]) -> list[_Call]:
        size = _CALL_REVIEWS if self._cluster is None else 1
        return [self._call(rows[start : start + size]) for start in range(0, len(rows), size)]

    def _call(self, rows: Sequence[Rated | Deleted]) -> _Call:
        """Return the arguments of one EVALSHA: the number of keys, then what `write.lua` lists."""
        apps = {row.fields.app_id for row in rows if isinstance(row, Rated) and row.fields.app_id}
        summaries: dict[str | None, int] = {
            app: 2 * len(rows) + 1 + number for number, app in enumerate(sorted(apps) if self._summary else ())
        }
        topics: dict[str, int] = {}
        keys: list[str] = []
        ratings: list[bytes] = []
        numbers: list[int] = []
        for row in rows:
            record, summary = row.record, 0
            if isinstance(row, Rated):
                review_id = row.fields.review_id
                ratings.append(row.value)
                summary = summaries.get(row.fields.app_id, 0)
            else:
                review_id = row.review_id
                ratings.append(b"null")
            keys += self._keys(review_id)
            topic = topics.setdefault(record.topic, len(topics))
            numbers += (topic, record.partition, record.offset, record.timestamp, summary)
        keys += (summary_key(str(app), prefix=self._prefix) for app in summaries)
        topic_ids = [name for topic in topics for name in (topic, self._topic_id(topic))]
        values = b"[" + b",".join(ratings) + b"]"
        arguments = (values, json.dumps(numbers), json.dumps(topic_ids), self._ttl_s, _MARKER_TTL_S)
        return [len(keys), *keys, *arguments, _FIELDS, _WHERE_KNOWN]

    def _keys(self, review_id: str) -> tuple[str, str]:
        """Return the keys of a rating and of its deletion's marker."""
        rating = rating_key(review_id, prefix=self._prefix)
        if self._cluster is not None and review_id.startswith("}"):
            return rating, rating  # `{}` is not a hash tag, so only the same key is sure to be in the slot
        return rating, f"{self._prefix}deleted:{{{review_id}}}"

    def _run(self, calls: Sequence[_Call]) -> list[bytes]:
        if not calls:
            return []
        if self._cluster is None:
            return self._accepted(_pipelined(self._client, calls, self._wait))
        by_node: dict[Any, list[_Call]] = {}
        for call in calls:
            node = self._cluster.get_node_from_key(str(call[1]))
            if node is None:
                raise redis_errors.ClusterDownError(f"no node serves the slot of {call[1]}")
            by_node.setdefault(node, []).append(call)
        try:
            return [
                result
                for node, node_calls in by_node.items()
                for result in self._accepted(
                    _pipelined(self._cluster.get_redis_connection(node), node_calls, self._wait)
                )
            ]
        except redis_errors.MovedError as error:
            self._cluster.nodes_manager.initialize()  # slots moved: reload the slot map, and let the loop retry
            raise redis_errors.TryAgainError(str(error)) from error


def _pipelined(client: Any, calls: Sequence[_Call], wait: tuple[str, int, int] | None) -> list[Any]:
    """Send the calls, and then `wait`, in one round trip; if the server lacks the script, load it and send again.

    The reply of a refused call is an error.
    """
    for script_loaded in (False, True):
        pipeline = client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(_SCRIPT_SHA1, *call)
        if wait is not None:
            pipeline.execute_command(*wait)
        replies = list(pipeline.execute(raise_on_error=False))
        if script_loaded or not any(isinstance(reply, redis_errors.NoScriptError) for reply in replies):
            return replies
        client.script_load(_SCRIPT)
    raise AssertionError("unreachable")
