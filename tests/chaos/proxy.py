"""A TCP proxy on loopback that can delay, withhold or cut: the network between a worker and its Redis.

Forwards bytes without parsing them, with two threads per connection. `slow`, `silence` and `heal` also affect open
connections.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from deploy.process import LOOPBACK, free_port

_CHUNK_BYTES: Final = 65_536


class Proxy:
    """Forwards `port` to `target_port`; a context manager."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._delay_s = 0.0
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = socket.create_server((LOOPBACK, self.port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._flowing.set()
        self._server.close()
        self.cut()

    def slow(self, delay_s: float) -> None:
        """Deliver every chunk this much later, in both directions."""
        self._delay_s = delay_s

    def retarget(self, target_port: int) -> None:
        """Forward new connections to another port; open ones stay where they are, as behind a name that has moved."""
        self._target_port = target_port

    def silence(self) -> None:
        """Deliver nothing and close nothing: a peer that accepts and never answers."""
        self._flowing.clear()

    def heal(self) -> None:
        """Deliver at once again, first the bytes held back by `silence`."""
        self._delay_s = 0.0
        self._flowing.set()

    def cut(self) -> int:
        """Close every open connection, also in the middle of a request; return their number."""
        with self._lock:
            cut, self._open = self._open, set()
        for connection in cut:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        return len(cut) // 2

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._server.accept()
            except OSError:
                return  # closed
            try:
                far = socket.create_connection((LOOPBACK, self._target_port), timeout=5)
            except OSError:
                near.close()  # the server is down: the client sees a closed connection
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), name="proxy-pump", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                self._closed.wait(self._delay_s)  # the delay; ends early when the proxy closes
                self._flowing.wait()
                sink.sendall(chunk)
        for connection in (source, sink):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        with self._lock:
            self._open -= {source, sink}
