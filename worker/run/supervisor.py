"""Several worker processes on one host, under one parent: one page, one signal, one exit code.

Owns the children's lives. Each child is an ordinary worker with a slot number. Prometheus and an orchestrator's
probes see one target: prometheus-client's multi-process mode adds the children's values up on one `/metrics`, and
`/readyz` is ready when each child is. (A port a child would need as many scrape targets and probes as processes.)
"""

from __future__ import annotations

import ctypes
import functools
import logging
import operator
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from worker.backoff import Backoff
from worker.errors import ExitCode
from worker.ops.http_server import serve_http
from worker.ops.logs import Log, configure_logs
from worker.run.child_status import SupervisedHealth
from worker.settings import WorkerSettings

_CRASHES: Final = 5  # so many within the window, at least, and the supervisor gives up
_WINDOW_S: Final = 300.0
_LOOK_EVERY_S: Final = 0.2
# Starting such a child again would end the same way.
_FINAL: Final = frozenset({ExitCode.USAGE, ExitCode.MODEL, ExitCode.FENCED, ExitCode.BREAKER})


@dataclass(slots=True)
class _Child:
    slot: int
    status_file: Path
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    crashes: deque[float] = field(default_factory=deque)
    backoff: Backoff = field(default_factory=lambda: Backoff(base_s=0.5, cap_s=30.0))


class Supervisor:
    """Starts, watches, restarts and stops the children.

    Args:
        settings: of the whole; each child gets its slot of them.
        flags: the command line after `run`, handed on to the children.
    """

    def __init__(self, settings: WorkerSettings, flags: list[str]) -> None:
        self._settings = settings
        self._flags = flags
        self._folder = Path(tempfile.mkdtemp(prefix="starstream-"))
        self._children = [_Child(slot, self._folder / f"slot-{slot}.json") for slot in range(settings.processes)]
        self._log: Log = configure_logs(settings.log_level, settings.log_format)
        self._signals = 0
        self._changed = threading.Event()

    def run(self) -> ExitCode:
        """Supervise until stopped; return the exit code of the whole.

        Raises:
            SettingsError: the page's address cannot be had.
        """
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        registry.register(ChildrenCollector(self._pids))
        health = SupervisedHealth({child.slot: child.status_file for child in self._children})
        port = serve_http(self._settings.http_host, self._settings.http_port, registry, health)
        self._log(logging.INFO, "page_serving", url=f"http://{self._settings.http_host}:{port}/metrics")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        code: ExitCode | None = None
        while code is None and not self._signals:
            code = self._look_after_children()
            self._changed.wait(_LOOK_EVERY_S)
        return self._stop_children(code)

    def _pids(self) -> list[int]:
        return [child.process.pid for child in self._children if child.process is not None]

    def _told(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1
        self._changed.set()
        if self._signals > 1:
            for child in self._children:
                _signal(child, signal.SIGKILL)
            os._exit(ExitCode.INTERRUPTED)

    def _look_after_children(self) -> ExitCode | None:
        """Start what should run; return an exit code when the whole must end."""
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.start_at:
                    self._start(child)
            elif (returned := child.process.poll()) is not None:
                code = self._bury(child, returned)
                if code is not None:
                    return code
        return None

    def _start(self, child: _Child) -> None:
        child.status_file.unlink(missing_ok=True)
        own = ["--processes", "1", "--slot", str(child.slot), "--status-file", str(child.status_file)]
        child.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", *self._flags, *own],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._folder)},
            start_new_session=True,  # a Ctrl-C at the terminal reaches the children through us, once
        )
        self._log(logging.INFO, "process_started", slot=child.slot, child_pid=child.process.pid)

    def _bury(self, child: _Child, returned: int) -> ExitCode | None:
        assert child.process is not None  # noqa: S101
        mark_process_dead(child.process.pid, str(self._folder))  # type: ignore[no-untyped-call]
        child.process = None
        child.status_file.unlink(missing_ok=True)
        now = time.monotonic()
        child.crashes.append(now)
        while now - child.crashes[0] > _WINDOW_S:
            child.crashes.popleft()
        wait_s = child.backoff.next_s()
        child.start_at = now + wait_s
        self._log(logging.ERROR, "process_ended", slot=child.slot, exit_code=returned, restart_in_s=round(wait_s, 2))
        if returned in _FINAL:
            return ExitCode(returned)
        # A record that kills takes 2 x max_attempts lives until it is dead-lettered; giving up before would leave it
        # there for ever. So two such records in a row must fit.
        if len(child.crashes) >= max(_CRASHES, 4 * self._settings.max_attempts + 1):
            crashes = len(child.crashes)
            self._log(logging.ERROR, "process_given_up", slot=child.slot, crashes=crashes, window_s=_WINDOW_S)
            return ExitCode.CHILDREN
        return None

    def _stop_children(self, code: ExitCode | None) -> ExitCode:
        """Drain the children together; the worst of their exit codes is the whole's."""
        running = [child for child in self._children if child.process is not None]
        for child in running:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_deadline_s + 5.0
        worst = code or ExitCode.OK
        for child in running:
            assert child.process is not None  # noqa: S101
            try:
                returned = child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                returned = ExitCode.DEADLINE
            if worst is ExitCode.OK and returned != 0:
                worst = ExitCode(returned) if returned in set(ExitCode) else ExitCode.FAILED
        for file in self._folder.iterdir():
            file.unlink()
        self._folder.rmdir()
        return worst


class ChildrenCollector(Collector):
    """The `process_*` metrics of the children as one: sums, and the youngest's start time, so a restart shows.

    Args:
        pids: the children that live now.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        """Return prometheus-client's own process metrics, added up."""
        found: dict[str, Metric] = {}
        for pid in self._pids():
            for metric in ProcessCollector(pid=functools.partial(int, pid), registry=None).collect():
                total = found.setdefault(metric.name, metric)
                if total is not metric:
                    add = max if metric.name == "process_start_time_seconds" else operator.add
                    value = add(total.samples[0].value, metric.samples[0].value)
                    total.samples[0] = total.samples[0]._replace(value=value)
        return found.values()


def follow_parent() -> None:
    """Ask the kernel to stop this process when its supervisor dies, however it dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)
