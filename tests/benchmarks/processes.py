"""A measured program as a process: started in a clean environment, watched from outside, ended.

Owns what is read of a process: CPU seconds and resident memory of it and its children. Linux's 10 ms ticks are the
resolution, so figures need seconds of work.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.corpus import ROOT

_LEFT_OUT = ("WORKER_", "PROMETHEUS_MULTIPROC")
_TAIL_LINES = 15


class RowError(RuntimeError):
    """A row that could not be measured; the message says why."""


class Watched:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def require_alive(self) -> None:
        """Raise with the end of its log when the program has ended."""
        if self._process.poll() is not None:
            tail = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            raise RowError(f"it ended with exit code {self._process.returncode}:\n" + "\n".join(tail))

    def cpu_s(self) -> float:
        """Return CPU seconds of the program and its children so far."""
        return sum(cpu_s(process.pid) for process in self._family())

    def rss_mb(self) -> float:
        """Return the resident memory of its largest process, in MB."""
        return max(process.memory_info().rss for process in self._family()) / 1e6

    def _family(self) -> list[psutil.Process]:
        self.require_alive()
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]


def cpu_s(pid: int) -> float:
    """Return user and system CPU seconds of a process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without settings of a worker, with our packages on the path, and one thread
    for each library that would take a core of its own.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **threads, **variables}


@contextmanager
def running(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[Watched]:
    """Run a program until the block is left; its own folder keeps it from reading a `.env`."""
    with tempfile.TemporaryDirectory(prefix="starstream-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as lines:
            process = subprocess.Popen(
                list(command),
                env=environment(variables),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=lines,
                start_new_session=True,
            )
        try:
            yield Watched(process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
