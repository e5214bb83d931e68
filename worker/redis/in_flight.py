"""Calls that are sent before their answers are asked for: what is on its way, and for which rows.

Owns the connection that they wait on. There is no thread: the server works while the loop does, and its answers, a
letter a row, wait in the socket. What a call is, only `redis` knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import redis

_Row = TypeVar("_Row")


class Ahead(Generic[_Row]):
    """Sends parts of a batch in order, and reads all their answers at the end.

    Args:
        pool: lends the connection, from the first part of a batch to its last answer.
    """

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None
        self._rows: list[_Row] = []
        self._calls = 0
        self._lost = False  # a part was not sent: the next ones are not, either

    def send(self, rows: Sequence[_Row], calls: Sequence[Sequence[Any]]) -> None:
        """Send a part without waiting for its answers; one that cannot be sent is the caller's to send again.

        Raises:
            redis.TimeoutError: the server hangs.
        """
        if self._lost:
            return
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            # A health check behind a part would take the part's answer for its PING's.
            packed = self._connection.pack_commands(calls)
            self._connection.send_packed_command(packed, check_health=not self._calls)
        except redis.TimeoutError:
            self.drop()
            raise
        except redis.RedisError:
            self.drop()
            self._lost = True
        else:
            self._rows += rows
            self._calls += len(calls)

    def answers(self, rows: Sequence[_Row]) -> tuple[int, list[bytes]]:
        """Return how many of a batch's first rows were sent, and their answers, in order; none where any was lost.

        What is on its way of another batch is waited for, so that it arrives before what is sent next.

        Raises:
            redis.TimeoutError: the server hangs.
        """
        sent, calls, self._rows, self._calls, self._lost = self._rows, self._calls, [], 0, False
        if self._connection is None:
            return 0, []
        try:
            found = [self._connection.read_response() for _ in range(calls)]
        except redis.TimeoutError:
            self.drop()
            raise
        except redis.RedisError:
            self.drop()
            return 0, []
        connection, self._connection = self._connection, None
        self._pool.release(connection)
        same = len(sent) <= len(rows) and all(a is b for a, b in zip(sent, rows, strict=False))
        return (len(sent), found) if same else (0, [])

    def drop(self) -> None:
        """Forget what is on its way; whether it arrives, nobody knows."""
        connection, self._connection = self._connection, None
        self._rows, self._calls, self._lost = [], 0, False
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)
