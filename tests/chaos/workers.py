"""A worker under test: `python -m worker run`, or the launcher if it has faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.conftest import ROOT
from tests.fixtures.running import RunningWorker


class Worker(RunningWorker):
    """One process (or a supervisor with its children), with fail points.

    Args:
        name: of its log and folder.
        folder: for the log and the fail points' signals.
        flags: settings, as flags.
        faults: the launcher's own arguments; without any, `python -m worker` runs.
        root: the checkout whose code runs.
    """

    def __init__(
        self, name: str, folder: Path, flags: Sequence[str], *, faults: Sequence[str] = (), root: Path = ROOT
    ) -> None:
        self.name = name
        self.rss_bytes: list[int] = []
        self._signals = folder / f"{name}-signals"
        self._signals.mkdir()
        launcher = ("tests.chaos.launcher", *faults, "--signals", str(self._signals), "--")
        program = launcher if faults else ("worker",)
        super().__init__(["run", *flags], log_path=folder / f"{name}.log", program=program, root=root)

    def ready(self) -> Self:
        """Wait until it reports that it is ready."""
        super().ready()
        self.record_memory()
        return self

    def wait_reason(self, part: str, text: str) -> None:
        """Wait until `part` is among the reasons not to be ready, with this text."""
        self.until(lambda: text in self.reasons.get(part, ""), f"{part} not ready: {text}")

    def wait_no_lag(self) -> None:
        """Wait until it reports that it is ready and has no lag."""
        self.ready()
        self.until(lambda: set(self.values("starstream_consumer_lag_records")) == {0.0}, "it reports no lag")

    def wait_reached(self, point: str) -> None:
        """Wait until it has reached a fail point that stops or holds it."""
        self.until((self._signals / f"{point}.reached").exists, f"at {point}")

    def release(self, point: str) -> None:
        """Let a held process continue."""
        (self._signals / f"{point}.release").touch()

    def wait_dead(self, code: int) -> None:
        """Wait until it has ended, with this code."""
        assert self.ends() == code, (
            f"{self.name} ended with {self.child.returncode}, not {code}:\n{self.child.log_tail(30)}"
        )

    def wait_stopped(self) -> None:
        """Wait until the kernel has stopped it (SIGSTOP)."""
        self.until(lambda: psutil.Process(self.child.pid).status() == psutil.STATUS_STOPPED, "stopped")

    def drain(self, code: int = 0) -> None:
        """Ask it to stop, and wait for this exit code."""
        self.record_memory()
        self.stop()
        self.wait_dead(code)

    def record_memory(self) -> None:
        """Record its resident memory, with that of its children."""
        if self.child.returncode is None:
            processes = [psutil.Process(self.child.pid), *psutil.Process(self.child.pid).children(recursive=True)]
            self.rss_bytes.append(sum(process.memory_info().rss for process in processes))
