"""Child processes: start them, wait until they are ready, suspend and stop them, and leave none behind.

Owns what the local Kafka and the local Redis share: a free port, a child whose output goes to a log file, readiness
with a deadline, signals to its own pid. It never looks up a process by name and does not know what the child does. Next
on the path: `deploy.kafka.broker`, `deploy.kafka.embedded`, `deploy.redis.server`.

It waits for real processes, so it uses the real monotonic clock.

    LocalServiceError                  the base of all errors that `deploy` raises
    ├── ServiceUnavailable             a program it needs is not installed: skip locally, fail in CI
    │   ├── KafkaUnavailable           (deploy.kafka.errors)
    │   └── RedisUnavailable           (deploy.redis.server)
    ├── StartFailed                    it exited, or did not answer in time; has the end of its log
    ├── DownloadFailed                 (deploy.kafka.errors) Maven could not download the jars
    └── TopicsFailed                   (deploy.kafka.errors) a topic could not be created as asked
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, Self

LOOPBACK = "127.0.0.1"
POLL_S = 0.05
# Below 32,768, where Linux by default begins to assign ports to outgoing connections.
_PORTS = range(15_000, 32_768)
_TAIL_BYTES = 32_768
_TAIL_LINES = 20
_TOOL_TIMEOUT_S = 900.0  # a download, on a slow line
# The guard: a line means "the child has been reaped", end of file means "the parent is gone".
_GUARD = 'read -r _ || kill -KILL "$0" 2>/dev/null'

_returned: set[int] = set()


class LocalServiceError(Exception):
    """Base of all errors of the local services; the message says what to do."""


class ServiceUnavailable(LocalServiceError):  # noqa: N818 - reads as the state it reports, like its subclasses
    """A program this service needs is not installed."""


class StartFailed(LocalServiceError):  # noqa: N818 - as above
    """The service ended, or did not answer, before its deadline."""


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


def run_tool(command: Sequence[str], what: str, failed: type[LocalServiceError], env: Mapping[str, str]) -> None:
    """Run a program to its end; blocks at most 15 minutes.

    Raises:
        LocalServiceError: of the type `failed`: it took longer, or its exit code is not 0; has the end of its output.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=_TOOL_TIMEOUT_S, env=dict(env), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise failed(f"{what}: not within {_TOOL_TIMEOUT_S:g} s; try again") from late
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-_TAIL_LINES:])
        raise failed(f"{what}: exit code {done.returncode}. The end of the output:\n{tail}")


def free_port() -> int:
    """Return a loopback port that is free, below the range that Linux by default assigns to outgoing connections.

    A port inside that range can be taken while its server restarts: a client that keeps reconnecting is eventually
    assigned that port as its own and connects to itself (TCP simultaneous open, RFC 9293 section 3.5).
    A port is returned once per process.

    Raises:
        LocalServiceError: a thousand tries found none.
    """
    for _ in range(1_000):
        port = secrets.choice(_PORTS)
        if port not in _returned and not port_taken(port):
            _returned.add(port)
            return port
    raise LocalServiceError(f"found no free port between {_PORTS.start} and {_PORTS.stop}; pass one with port=")


def port_taken(port: int) -> bool:
    """Whether a server could not listen on loopback `port` now; connections in TIME_WAIT do not count."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


class Process(Protocol):
    """The part of `subprocess.Popen` that `ChildProcess` uses."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended; raises `subprocess.TimeoutExpired`."""

    def send_signal(self, sig: int) -> None:
        """Send a signal unless it has ended."""


class ChildProcess:
    """A started child: its pid, its log, and its signals.

    It leads a session of its own, so a terminal's Ctrl-C reaches only the parent, which then stops it in order.

    Args:
        command: program and arguments; no shell.
        log_path: standard output and error are appended here.
        cwd: working directory, by default the parent's.
    """

    def __init__(self, command: Sequence[str], *, log_path: Path, cwd: Path | None = None) -> None:
        self.log_path = log_path
        self._name = Path(command[0]).name
        with log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = self._begin(command, log, cwd)
        # Not prctl(PR_SET_PDEATHSIG): it fires when the starting *thread* ends, and preexec_fn may deadlock
        # (and warns since Python 3.12) in a process with threads, which every Kafka client has.
        self._guard: subprocess.Popen[bytes] | None = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def _begin(self, command: Sequence[str], log: BinaryIO, cwd: Path | None) -> Process:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The child's process id, also after it has exited."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs, otherwise its exit code; negative for the signal that ended it."""
        return None if self._process.poll() is None else self.wait()

    @property
    def log_output(self) -> str:
        """What this child has written to its log (the last 32 KiB)."""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return log.read().decode("utf-8", errors="replace")

    def log_tail(self, lines: int = _TAIL_LINES) -> str:
        """Return the last `lines` lines this child wrote to its log."""
        return "\n".join(self.log_output.splitlines()[-lines:])

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Block until `probe` is true while the child still runs.

        Raises:
            StartFailed: the child exited first, or the deadline passed; the child is not stopped.
        """
        outcome = f"did not answer within {timeout_s:g} s"
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self.returncode is not None or probe(), timeout_s, outcome)
            if self.returncode is None:
                return
            outcome = f"ended with exit code {self.returncode} before it answered"
        raise StartFailed(f"{self._name} (pid {self.pid}) {outcome}. The end of {self.log_path}:\n{self.log_tail()}")

    def wait(self) -> int:
        """Block until the child exits; return its exit code."""
        code = self._process.wait()
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate(b"\n")
        return code

    def terminate(self, grace_s: float = 10.0) -> int:
        """Send SIGTERM, SIGKILL after `grace_s`; return the exit code. Also ends a suspended child."""
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)  # a suspended process handles SIGTERM only after it resumes
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
        return self.wait()

    def kill(self) -> int:
        """End the child at once (SIGKILL); return its exit code."""
        self._process.send_signal(signal.SIGKILL)
        return self.wait()

    def suspend(self) -> None:
        """Suspend the child (SIGSTOP), and wait until it is: its sockets stay open and it does not answer."""
        self._process.send_signal(signal.SIGSTOP)
        with contextlib.suppress(ChildProcessError):  # it had ended
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Resume a suspended child (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)


class LocalService(ABC):
    """A local server on loopback that can be stopped, crashed, suspended and started again on the same port and data.

    A context manager: entering starts it, leaving stops it and removes the data directory if none was given.
    Not thread-safe; one owner.

    Args:
        data_dir: kept when given; otherwise a temporary one, removed by `close`.
        start_timeout_s: how long `start` waits for an answer.
    """

    name = "service"
    _cwd: Path | None = None

    def __init__(self, *, data_dir: Path | None, start_timeout_s: float) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if data_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix=f"starstream-{self.name}-", ignore_cleanup_errors=True)
            data_dir = Path(self._temporary.name)
        self.data_dir = data_dir.absolute()
        self._start_timeout_s = start_timeout_s
        self._child: ChildProcess | None = None

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Prepare the start and return the command; raise when a program is missing."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server answers its protocol now."""

    def _require_free(self, port: int) -> None:
        # Before a start, so that the answer of another server is not taken for ours.
        if port_taken(port):
            raise StartFailed(
                f"port {port} is taken, so the local {self.name} cannot listen on it: "
                f"stop what listens there, or choose another port"
            )

    @property
    def log_path(self) -> Path:
        """The file with all output of the server, over all its starts."""
        return self.data_dir / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether the server's process exists (also when suspended)."""
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
        """The server's process id, for signals."""
        return self.child.pid

    def start(self) -> None:
        """Start the server and block until it answers; does nothing when it runs already.

        Raises:
            ServiceUnavailable: a program it needs is not installed.
            StartFailed: its port is taken, it exited, or it did not answer in time (it is then killed).
        """
        if self.running:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = self._prepare()
        self._child = ChildProcess(command, log_path=self.log_path, cwd=self._cwd)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._child.kill)
            self._child.wait_ready(self._answers, self._start_timeout_s)
            on_failure.pop_all()

    def stop(self, grace_s: float = 10.0) -> None:
        """Shut the server down, by SIGKILL after `grace_s`; does nothing when it does not run."""
        if self.running:
            self.child.terminate(grace_s)

    def kill(self) -> None:
        """Crash the server (SIGKILL); does nothing when it does not run."""
        if self.running:
            self.child.kill()

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Suspend the server (SIGSTOP): connections stay open, it does not answer."""
        self.child.suspend()

    def resume(self) -> None:
        """Resume a suspended server (SIGCONT)."""
        self.child.resume()

    def close(self) -> None:
        """Stop, and remove the data directory if it is a temporary one."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            self.start()
            on_failure.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
