"""Child processes of our own: started, awaited, paused, stopped, and never left behind.

Owns the life cycle that the local Kafka and the local Redis share: a free port, a child whose output goes to a
log file, readiness with a deadline, signals by its own pid. It never looks a process up by name and never knows
what the child does. Next on the path: `deploy.kafka.broker`, `deploy.kafka.embedded`, `deploy.redis.server`.

All of it waits for real processes, so the clock is the real monotonic one.

    LocalServiceError                  everything `deploy` raises on purpose
    ├── ServiceUnavailable             a program it needs is not installed: skip locally, fail in CI
    │   ├── KafkaUnavailable           (deploy.kafka.errors)
    │   └── RedisUnavailable           (deploy.redis.server)
    ├── StartFailed                    it ended, or did not answer in time; holds the end of its log
    ├── DownloadFailed                 (deploy.kafka.errors) Maven could not bring the jars
    └── TopicsFailed                   (deploy.kafka.errors) a topic could not be created as asked
"""

import contextlib
import enum
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
POLL_S = 0.05
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 15_000
_TAIL_BYTES = 32_768
# The guard: a line means "the child has been reaped", end of file means "the parent is gone".
_GUARD = 'read -r _ || kill -KILL "$0" 2>/dev/null'

_handed_out: set[int] = set()


class LocalServiceError(Exception):
    """What every error of the local services descends from; its message says what to do."""


class ServiceUnavailable(LocalServiceError):  # noqa: N818 - reads as the state it reports, like its subclasses
    """A program this service needs is not installed."""


class StartFailed(LocalServiceError):  # noqa: N818 - as above
    """The service ended, or did not answer, before its deadline."""


class Tie(enum.Enum):
    """What ends a child whose parent is gone, `kill -9` included."""

    GUARD = "guard"
    """A shell beside the child holds a pipe to the parent and kills the child when the pipe closes."""
    STDIN = "stdin"
    """The child promises to leave when its standard input closes."""
    NONE = "none"
    """Nothing: the child is meant to outlive its parent."""


def wait_until(probe: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Call `probe` every 50 ms until it is true; blocks at most `timeout_s`.

    Raises:
        TimeoutError: naming `what` did not happen.
    """
    deadline_s = time.monotonic() + timeout_s
    while not probe():
        if time.monotonic() >= deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)


def free_port() -> int:
    """Return a loopback port nobody listens on, below the range the kernel gives to outgoing connections.

    A port inside that range can be taken while its server restarts: a client that keeps reconnecting is sooner or
    later given that very port as its own and connects to itself (TCP simultaneous open, RFC 9293 section 3.5).
    A port is handed out once per process.

    Raises:
        LocalServiceError: a thousand tries found none.
    """
    ports = range(_LOWEST_PORT, max(_ephemeral_floor(), _LOWEST_PORT + 1_000))
    for _ in range(1_000):
        port = secrets.choice(ports)
        if port not in _handed_out and not port_taken(port):
            _handed_out.add(port)
            return port
    raise LocalServiceError(f"found no free port between {ports.start} and {ports.stop}; pass one with port=")


def port_taken(port: int) -> bool:
    """Whether a server could not listen on loopback `port` now; connections in TIME_WAIT do not count."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def alive(pid: int) -> bool:
    """Whether process `pid` runs; one that ended but was not reaped yet (a zombie) does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return not Path("/proc/self").exists()  # no /proc here (macOS): the signal's answer stands
    return stat.rpartition(")")[2].split()[0] != "Z"


class ChildProcess:
    """A started child: its pid, its log, and the signals it may be sent.

    It leads a session of its own, so a terminal's Ctrl-C reaches only the parent, which then stops it in order.

    Args:
        command: program and arguments; no shell.
        log_path: standard output and error are appended here.
        cwd: working directory, by default the parent's.
        tie: what ends the child when the parent is killed.
    """

    def __init__(
        self, command: Sequence[str], *, log_path: Path, cwd: Path | None = None, tie: Tie = Tie.GUARD
    ) -> None:
        self.log_path = log_path
        self._name = Path(command[0]).name
        with log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                list(command),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
                stdin=subprocess.PIPE if tie is Tie.STDIN else subprocess.DEVNULL,
            )
        # Not prctl(PR_SET_PDEATHSIG): it fires when the starting *thread* ends, and preexec_fn may deadlock
        # (and warns since Python 3.12) in a process with threads, which every Kafka client has.
        self._guard: subprocess.Popen[bytes] | None = None
        if tie is Tie.GUARD:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The child's process id, also after it ended."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; else its exit code, negative for the signal that ended it."""
        if self._process.poll() is not None:
            self._let_go()
        return self._process.returncode

    @property
    def log_output(self) -> str:
        """What this child wrote to its log so far (the last 32 KiB of it)."""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return log.read().decode("utf-8", errors="replace")

    def log_tail(self, lines: int = 20) -> str:
        """Return the last `lines` lines this child wrote to its log."""
        return "\n".join(self.log_output.splitlines()[-lines:])

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Block until `probe` is true while the child still runs.

        Raises:
            StartFailed: the child ended first, or the deadline passed; the child is left as it is.
        """
        deadline_s = time.monotonic() + timeout_s
        while not (probe() and self.returncode is None):
            if self.returncode is not None:
                raise StartFailed(
                    f"{self._name} ended with exit code {self.returncode} before it answered. "
                    f"The end of {self.log_path}:\n{self.log_tail()}"
                )
            if time.monotonic() >= deadline_s:
                raise StartFailed(
                    f"{self._name} (pid {self.pid}) did not answer within {timeout_s:g} s. "
                    f"The end of {self.log_path}:\n{self.log_tail()}"
                )
            time.sleep(POLL_S)

    def wait(self) -> int:
        """Block until the child ends by itself or by another's hand; return its exit code."""
        self._process.wait()
        self._let_go()
        return self._process.returncode

    def terminate(self, grace_s: float = 10.0) -> int:
        """Ask the child to end (SIGTERM), kill it after `grace_s`; return its exit code. Also ends a paused one."""
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a paused process hears SIGTERM only when it goes on
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            return self.kill()
        return self.wait()

    def kill(self) -> int:
        """End the child at once (SIGKILL); return its exit code."""
        self._process.kill()
        return self.wait()

    def suspend(self) -> None:
        """Pause the child (SIGSTOP): its sockets stay open and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused child go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def _let_go(self) -> None:
        if self._guard is not None:
            guard, self._guard = self._guard, None
            guard.communicate(b"\n")
        if self._process.stdin is not None:
            self._process.stdin.close()


class LocalService(ABC):
    """A server of our own on loopback that can stop, crash, pause and start again where it was.

    A context manager: entering starts it, leaving stops it and removes the data directory if none was given.
    Not thread-safe; one owner.

    Args:
        data_dir: kept when given; else a temporary one that lives as long as this object.
        start_timeout_s: how long `start` waits for an answer.
        tie: what ends the server when this process is killed; `Tie.NONE` leaves it running.
    """

    name = "service"
    _cwd: Path | None = None

    def __init__(self, *, data_dir: Path | None, start_timeout_s: float, tie: Tie = Tie.GUARD) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if data_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix=f"starstream-{self.name}-", ignore_cleanup_errors=True)
            data_dir = Path(self._temporary.name)
        self.data_dir = data_dir.absolute()
        self._start_timeout_s = start_timeout_s
        self._tie = tie
        self._child: ChildProcess | None = None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Make everything ready and return the command; raise when something it needs is missing."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server answers its own protocol now."""

    def _require_free(self, port: int) -> None:
        # Before a start, so that nobody else's answer is taken for ours.
        if port_taken(port):
            raise StartFailed(
                f"port {port} is taken, so the local {self.name} cannot listen on it: "
                f"stop what listens there, or choose another port"
            )

    @property
    def log_path(self) -> Path:
        """The file with everything the server printed, over all its starts."""
        return self.data_dir / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether the server's process exists (paused counts)."""
        return self._child is not None and self._child.returncode is None

    @property
    def child(self) -> ChildProcess:
        """The process of the last start.

        Raises:
            LocalServiceError: it was never started.
        """
        if self._child is None:
            raise LocalServiceError(f"the local {self.name} was not started; call start() first")
        return self._child

    @property
    def pid(self) -> int:
        """The server's own process id, for signals."""
        return self.child.pid

    def start(self) -> None:
        """Start the server and block until it answers; nothing happens when it runs already.

        Raises:
            ServiceUnavailable: a program it needs is not installed.
            StartFailed: its port is taken, it ended, or it did not answer in time (it is then killed).
        """
        if self.running:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = self._prepare()
        self._child = ChildProcess(command, log_path=self.log_path, cwd=self._cwd, tie=self._tie)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._child.kill)
            self._child.wait_ready(self._answers, self._start_timeout_s)
            on_failure.pop_all()

    def stop(self, grace_s: float = 10.0) -> None:
        """Shut the server down in order, by force after `grace_s`; nothing happens when it does not run."""
        if self.running:
            self.child.terminate(grace_s)

    def kill(self) -> None:
        """Crash the server (SIGKILL); nothing happens when it does not run."""
        if self.running:
            self.child.kill()

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Pause the server (SIGSTOP): connections stay open, nothing is answered."""
        self.child.suspend()

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self.child.resume()

    def close(self) -> None:
        """Stop, and remove the data directory if it was a temporary one."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            self.start()
            on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ephemeral_floor() -> int:
    try:
        return int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except OSError:
        return 32_768  # Linux's default; other systems start higher
