"""Calls sent to Redis whose replies have not been read.

Owns their connection. There is no thread: the server works while the loop does, and its replies, one letter a review,
wait in the socket. Does not know what a call means; `store` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import hiredis
import redis
from redis.exceptions import NoScriptError

_pack: Final[Any] = hiredis.pack_command  # the client's own packing walks through all arguments first


class InFlight:
    """Sends calls in order, and reads all their replies at the end.

    Args:
        pool: lends the connection, from the first call of a batch to its last reply.
    """

    def __init__(self, pool: redis.ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None
        self._calls = 0
        self._broken = False  # a call could not be sent, so the calls after it are not sent either

    def send(self, calls: Sequence[tuple[Any, ...]]) -> None:
        """Send calls without waiting for their replies; after a broken connection, send nothing until `replies`.

        Raises:
            redis.TimeoutError: the server hangs.
        """
        if self._broken:
            return
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            # A health check after a call would take the call's reply for its own.
            packed = [b"".join(map(_pack, calls))]
            self._connection.send_packed_command(packed, check_health=not self._calls)
        except redis.TimeoutError:
            self.abandon()
            raise
        except redis.RedisError:
            self.abandon()
            self._broken = True
        else:
            self._calls += len(calls)

    def replies(self) -> list[Any]:
        """Return the replies to the calls that were sent, in order, with an error in place of a refused call's.

        An empty list if any reply is lost, or a server lacks the script: then send all calls again.

        Raises:
            redis.RedisError: the server hangs, or does not speak the protocol.
        """
        calls, self._calls, self._broken = self._calls, 0, False
        if self._connection is None:
            return []
        try:
            found = [self._reply() for _ in range(calls)]
        except redis.ConnectionError:
            self.abandon()
            return []
        except redis.RedisError:
            self.abandon()
            raise
        connection, self._connection = self._connection, None
        self._pool.release(connection)
        return [] if any(isinstance(reply, NoScriptError) for reply in found) else found

    def _reply(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return error

    def abandon(self) -> None:
        """Drop the replies to the calls that were sent; whether Redis executed them is unknown."""
        connection, self._connection = self._connection, None
        self._calls, self._broken = 0, False
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)
