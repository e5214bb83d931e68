"""Ratings by review id, in Redis: one round trip per chunk of a batch, fenced and idempotent.

Owns the contents of the rating, deletion and summary keys. The rules of the fence are in `write.lua`. In a cluster each
review is a call of its own, because each has its own slot, and `app_counts` counts them after that. `call` makes the
calls, and `servers` sends them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from worker.clock import Clock
from worker.ops.logs import Log
from worker.ops.metrics import Metrics
from worker.records import Deleted, Outcome, Rated, Rejected
from worker.redis.app_counts import AppCounts
from worker.redis.call import Call, Calls
from worker.redis.client import close, connect, counted, translated
from worker.redis.servers import Servers
from worker.settings import WorkerSettings
from worker.stream.ports import Store

# A call occupies Redis's only thread: 256 reviews take about 2 ms, which other clients do not notice.
_CALL_REVIEWS: Final = 256
_PROBE_TTL_S: Final = 60
_MOST_PROBES: Final = 10_000  # enough to meet the slots of hundreds of primaries
_RESULTS: Final = {"w": "written", "d": "deleted", "s": "stale", "r": "replayed", "x": "refused"}
_MOST_FOREIGN: Final = 1000  # keys of other programs that are remembered, so that each is logged once
_MOST_KEY_CHARS: Final = 300


class RedisStore(Store):
    """The Store port on a Redis server or cluster. For one thread.

    Args:
        topic_id: returns the brokers' id of a topic, `""` when they have none. It is part of a position, so that the
            old offsets of a topic that was deleted and created again do not make its new records stale.
        log: of the keys that other programs keep something else under.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        metrics: Metrics,
        clock: Clock,
        topic_id: Callable[[str], str],
        log: Log | None = None,
    ) -> None:
        self._prefix = settings.redis_prefix
        self._ttl_s = settings.redis_ttl_s
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._foreign: set[bytes] = set()  # keys of other programs
        self._make_calls = Calls(settings, clock, topic_id)
        client: Any = connect(settings)
        self._client = client
        self._cluster = client if settings.redis_cluster else None
        wait_ms = round(settings.redis_timeout_s * 500)  # half, so that the answer comes in time
        wait = ("WAIT", settings.redis_wait_replicas, wait_ms) if settings.redis_wait_replicas else None
        self._servers = Servers(client, is_cluster=settings.redis_cluster, wait=wait)
        self._app_counts = AppCounts(settings, client, clock, wait) if settings.redis_cluster else None
        self._sent = False  # part of a batch that is not flushed

    def send(self, outcomes: Sequence[Outcome]) -> None:
        """Send part of a batch: Redis executes it while the loop continues.

        Raises:
            ServiceError: Redis hangs, or a cluster lacks slots. After any other error `flush` sends everything again.
        """
        rows = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
        if rows:
            self._sent = True
            with counted(self._metrics, "send ratings", self._client):
                self._servers.send(self._calls_for(rows))

    @override
    def flush(self) -> Mapping[str, int]:
        if not self._sent:
            return {}
        self._sent = False
        started = self._clock.monotonic()
        with counted(self._metrics, "write ratings", self._client):
            replies = self._servers.replies()
            if self._app_counts is not None:
                replies = self._app_counts.update(replies, self._ttl_s)
        self._metrics.sink_seconds.labels("redis").observe(self._clock.monotonic() - started)
        parts = [reply.split(b"\0") for reply in replies]
        self._report(key for _, *keys in parts for key in keys)
        letters = Counter(b"".join(results for results, *_ in parts).decode())
        counts = {name: letters[letter] for letter, name in _RESULTS.items()}
        for name, count in counts.items():
            self._metrics.redis_writes.labels(name).inc(count)
        return counts

    def _report(self, foreign: Iterable[bytes]) -> None:
        """Log each key of another program once; its rating is on the topic, and Redis does without it."""
        for key in foreign:
            if key not in self._foreign and len(self._foreign) < _MOST_FOREIGN and self._log is not None:
                self._foreign.add(key)
                name = key.decode("utf-8", "replace")[:_MOST_KEY_CHARS]
                self._log(logging.ERROR, "redis_key_refused", key=name, reason="another program keeps something there")

    @override
    def abandon(self) -> None:
        self._sent = False
        self._servers.abandon()

    @override
    def ping(self) -> None:
        with translated("WORKER_REDIS_URL", self._client):
            keys = self._probe_keys()
        for key in keys:
            with translated(f"WORKER_REDIS_URL: write to {key}", self._client):
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

    def _calls_for(self, rows: Sequence[Rated | Deleted]) -> list[Call]:
        size = _CALL_REVIEWS if self._cluster is None else 1
        return [self._make_calls.make(rows[start : start + size], self._ttl_s) for start in range(0, len(rows), size)]
