"""A worker process under test: `python -m worker run`, or the launcher if it has faults.

Owns one process and its log. Every wait has a deadline, and shows the end of the log when it fails.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from deploy.process import LOOPBACK, ChildProcess, wait_until

ROOT: Final = Path(__file__).parents[2]
START_S: Final = 60.0
_PAGE_TIMEOUT_S: Final = 5.0


class Worker:
    """One process (or a supervisor with its children).

    Args:
        name: of its log and folder.
        folder: for the log and the fail points' signals.
        flags: settings, as flags.
        port: of its HTTP server.
        faults: the launcher's own arguments; without any, `python -m worker` runs.
    """

    def __init__(self, name: str, folder: Path, flags: Sequence[str], *, port: int, faults: Sequence[str] = ()) -> None:
        self.name = name
        self.port = port
        self._signals = folder / f"{name}-signals"
        self._signals.mkdir()
        program = ["-m", "worker"]
        if faults:
            program = ["-m", "tests.chaos.launcher", *faults, "--signals", str(self._signals), "--"]
        page = ["--http-host", LOOPBACK, "--http-port", str(port)]
        self._child = ChildProcess(
            [sys.executable, *program, "run", *flags, *page], log_path=folder / f"{name}.log", cwd=ROOT
        )
        self.rss_bytes: list[int] = []

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._child.returncode

    @property
    def log(self) -> str:
        """The end of the log."""
        return self._child.log_output

    def fetch(self, path: str) -> str:
        """Return a page of its HTTP server, whatever the status; empty without an answer."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}{path}", timeout=_PAGE_TIMEOUT_S) as answer:
                return str(answer.read(), "utf-8")
        except urllib.error.HTTPError as error:
            return str(error.read(), "utf-8")
        except OSError:
            return ""

    @property
    def reasons(self) -> dict[str, str] | None:
        """Why it is not ready; empty when it is ready, None without an answer."""
        body = self.fetch("/readyz")
        found: dict[str, str] | None = json.loads(body)["reasons"] if body else None
        return found

    @property
    def ready(self) -> bool:
        """Whether it reports that it is ready."""
        return self.reasons == {}

    def metric(self, series: str) -> float:
        """Return the sum of the samples whose name and labels start with `series`; NaN when there is none."""
        values = [
            float(line.rpartition(" ")[2]) for line in self.fetch("/metrics").splitlines() if line.startswith(series)
        ]
        return sum(values) if values else float("nan")

    def wait(self, what: str, probe: Any, timeout_s: float = START_S) -> None:
        """Wait until `probe(self)` is true; fail if the process ends."""

        def look() -> bool:
            if self.returncode is not None:
                raise AssertionError(
                    f"{self.name} ended with {self.returncode}, waiting for: {what}\n{self.log[-4000:]}"
                )
            return bool(probe(self))

        try:
            wait_until(look, timeout_s, f"{self.name}: {what}")
        except TimeoutError as error:
            raise AssertionError(f"{error}; ready: {self.reasons}\n{self.log[-4000:]}") from error

    def wait_ready(self) -> None:
        """Wait until it reports that it is ready."""
        self.wait("ready", lambda worker: worker.ready)
        self.record_memory()

    def wait_reason(self, part: str, text: str, timeout_s: float = START_S) -> None:
        """Wait until `part` is among the reasons not to be ready, with this text."""
        self.wait(f"{part} not ready", lambda worker: text in (worker.reasons or {}).get(part, ""), timeout_s)

    def wait_reached(self, point: str, timeout_s: float = START_S) -> None:
        """Wait until it has reached a fail point that stops or holds it."""
        reached = self._signals / f"{point}.reached"
        self.wait(f"at {point}", lambda _: reached.exists(), timeout_s)

    def release(self, point: str) -> None:
        """Let a held process continue."""
        (self._signals / f"{point}.release").touch()

    def wait_dead(self, code: int, timeout_s: float = START_S) -> None:
        """Wait until it has ended with this code."""
        try:
            wait_until(lambda: self.returncode is not None, timeout_s, f"{self.name} ends with {code}")
        except TimeoutError as error:
            raise AssertionError(f"{error}; ready: {self.reasons}\n{self.log[-4000:]}") from error
        assert self.returncode == code, f"{self.name} ended with {self.returncode}, not {code}:\n{self.log[-4000:]}"

    def wait_stopped(self) -> None:
        """Wait until the kernel has stopped it (SIGSTOP)."""
        self.wait("stopped", lambda worker: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)

    def kill(self) -> None:
        """SIGKILL."""
        if self.returncode is None:
            self._child.kill()

    def suspend(self) -> None:
        """SIGSTOP."""
        self._child.suspend()

    def resume(self) -> None:
        """SIGCONT."""
        self._child.resume()

    def stop(self, code: int = 0, grace_s: float = 30.0) -> None:
        """SIGTERM, and wait for this exit code."""
        if self.returncode is None:
            self.record_memory()
            self._child.terminate(grace_s)
        assert self.returncode == code, f"{self.name} ended with {self.returncode}, not {code}:\n{self.log[-4000:]}"

    def end(self) -> None:
        """End it after the case, whatever its state."""
        if self.returncode is None:
            self._child.resume()
            self._child.terminate(5.0)

    def record_memory(self) -> None:
        """Record its resident memory, with that of its children."""
        if self.returncode is None:
            processes = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
            self.rss_bytes.append(sum(process.memory_info().rss for process in processes))
