"""The servers that a batch is written to: one, or the primaries of a cluster, all at the same time.

Owns which server a call goes to, and that a call whose reply was lost is sent again. Knows no rating: `store` makes the
calls and reads the replies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redis import exceptions as redis_errors

from worker.redis.call import Call
from worker.redis.in_flight import InFlight

_SHARED: Final = (Path(__file__).parent / "shared.lua").read_text(encoding="utf-8")


def script(name: str) -> str:
    """Return a script, with what all of them share before it."""
    return _SHARED + (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")


SCRIPT: Final = script("write")
Wait = tuple[str, int, int] | None  # WAIT, replicas, milliseconds


class Servers:
    """Sends the calls of one batch, each to the server of its first key.

    Args:
        client: of a server, or of a cluster.
        is_cluster: whether it is a cluster's.
        wait: the command behind a server's calls, None for none.
        script: what is called, None for `SCRIPT`.
    """

    def __init__(self, client: Any, *, is_cluster: bool, wait: Wait, script: str | None = None) -> None:
        self._client = client
        self._is_cluster = is_cluster
        self._wait = wait
        self._script = script or SCRIPT
        self._sha1 = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._servers: dict[str, _Server] = {}  # of the batch
        self._with_script: set[str] = set()

    def send(self, calls: Sequence[Call]) -> None:
        """Send calls without waiting for their replies.

        Raises:
            RedisError: a server hangs, or no server of the cluster has the slot.
        """
        if not self._is_cluster:
            self._server("", self._client).send(calls)
            return
        by_node: dict[str, tuple[Any, list[Call]]] = {}
        for call in calls:
            node = self._client.get_node_from_key(call[1])
            if node is None:
                raise redis_errors.ClusterDownError(f"no node serves the slot of {call[1]}")
            by_node.setdefault(node.name, (node, []))[1].append(call)
        for name, (node, its_calls) in by_node.items():
            self._server(name, self._client.get_redis_connection(node)).send(its_calls)

    def replies(self) -> list[Any]:
        """Return the replies to everything that was sent since the last call, server by server.

        Raises:
            RedisError: a server refused a call or hangs, or too few replicas have the writes; then the other servers'
                replies are dropped.
        """
        servers, self._servers = self._servers, {}
        try:
            for server in servers.values():
                server.end()
            return [reply for server in servers.values() for reply in server.replies()]
        except redis_errors.MovedError as error:
            self._client.nodes_manager.initialize()  # slots moved: reload the slot map, and let the loop retry
            raise redis_errors.TryAgainError(str(error)) from error
        finally:
            for server in servers.values():
                server.abandon()

    def abandon(self) -> None:
        """Drop the replies to what was sent."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            server.abandon()

    def _server(self, name: str, client: Any) -> _Server:
        server = self._servers.get(name)
        if server is None:
            if name not in self._with_script:
                with suppress(redis_errors.RedisError):
                    client.script_load(self._script)
                    self._with_script.add(name)
            server = self._servers[name] = _Server(client, self._script, self._sha1, self._wait)
        return server


class _Server:
    """One server's share of a batch."""

    def __init__(self, client: Any, script: str, sha1: str, wait: Wait) -> None:
        self._client = client
        self._script = script
        self._sha1 = sha1
        self._wait = wait
        self._calls: list[Call] = []
        self._in_flight = InFlight(client.connection_pool)

    def send(self, calls: Sequence[Call]) -> None:
        self._calls += calls
        self._in_flight.send([("EVALSHA", self._sha1, *call) for call in calls])

    def end(self) -> None:
        if self._wait is not None:
            self._in_flight.send([self._wait])

    def replies(self) -> list[Any]:
        return self._accepted(self._in_flight.replies() or self._again())

    def abandon(self) -> None:
        self._in_flight.abandon()

    def _again(self) -> list[Any]:
        """Send all calls in one round trip; if the server lacks the script, load it and send again."""
        for script_loaded in (False, True):
            pipeline = self._client.pipeline(transaction=False)
            for call in self._calls:
                pipeline.evalsha(self._sha1, *call)
            if self._wait is not None:
                pipeline.execute_command(*self._wait)
            replies = list(pipeline.execute(raise_on_error=False))
            if script_loaded or not any(isinstance(reply, redis_errors.NoScriptError) for reply in replies):
                return replies
            self._client.script_load(self._script)
        raise AssertionError("unreachable")

    def _accepted(self, replies: list[Any]) -> list[Any]:
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
