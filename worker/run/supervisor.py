"""The supervisor of `--processes`: starts several workers on one host, restarts and stops them.

Owns the child processes. Each is an ordinary worker with a slot number. Prometheus and an orchestrator see one target:
prometheus-client's multi-process mode adds up the children's values on one `/metrics`, and `/readyz` is ready when all
children are. (With a port for each child there would be as many scrape targets and probes as processes.)
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
from worker.environment import METRICS_FOLDER
from worker.errors import ExitCode, SettingsError
from worker.ops.health_metrics import HealthCollector
from worker.ops.http_server import serve_http, url_of
from worker.ops.logs import Log, configure_logs
from worker.run.child_status import SupervisedHealth
from worker.settings import WorkerSettings

_MIN_CRASHES: Final = 5  # of one child within the window, before the supervisor gives up
_WINDOW_S: Final = 300.0
_CHECK_INTERVAL_S: Final = 0.2
_LAST_WORDS_S: Final = 2.0  # of children that are ended at once
# A child that ended with one of these would end with it again.
_FINAL_CODES: Final = frozenset({ExitCode.USAGE, ExitCode.MODEL, ExitCode.FENCED, ExitCode.BREAKER})


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
        flags: the command line after `run`, which the children get too.

    Raises:
        SettingsError: there is no folder for temporary files.
    """

    def __init__(self, settings: WorkerSettings, flags: list[str]) -> None:
        self._settings = settings
        self._flags = flags
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="starstream-"))
        except OSError as error:
            raise SettingsError(f"TMPDIR: no folder for temporary files can be written: {error.strerror}") from error
        self._children = [_Child(slot, self._folder / f"slot-{slot}.json") for slot in range(settings.processes)]
        self._log: Log = configure_logs(settings.log_level, settings.log_format)
        self._signals = 0
        self._changed = threading.Event()

    def run(self) -> ExitCode:
        """Supervise until a signal or a final failure; return the exit code.

        Raises:
            SettingsError: the HTTP server's address is taken or not this machine's.
        """
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        registry.register(ChildrenCollector(self._pids))
        health = SupervisedHealth({child.slot: child.status_file for child in self._children})
        registry.register(HealthCollector(health, len(self._children)))
        port = serve_http(self._settings.http_host, self._settings.http_port, registry, health)
        self._log(logging.INFO, "page_serving", url=url_of(self._settings.http_host, port))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        code: ExitCode | None = None
        while code is None and not self._signals:
            code = self._check_children()
            self._changed.wait(_CHECK_INTERVAL_S)
        return self._stop_children(code)

    def _pids(self) -> list[int]:
        return [child.process.pid for child in self._children if child.process is not None]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1
        self._changed.set()
        if self._signals > 1:
            self._end_children()
            os._exit(ExitCode.INTERRUPTED)

    def _end_children(self) -> None:
        """Give each child its second signal and a moment to leave word; a killed one would suspect its records."""
        deadline = time.monotonic() + _LAST_WORDS_S
        for child in self._children:
            _signal(child, signal.SIGTERM)
        while time.monotonic() < deadline and any(_runs(child) for child in self._children):
            time.sleep(0.02)
        for child in self._children:
            _signal(child, signal.SIGKILL)

    def _check_children(self) -> ExitCode | None:
        """Start the children that are due; return an exit code when the supervisor must end."""
        for child in self._children:
            if child.process is None:
                if time.monotonic() >= child.start_at:
                    self._start(child)
            elif (returned := child.process.poll()) is not None:
                code = self._on_exit(child, returned)
                if code is not None:
                    return code
        return None

    def _start(self, child: _Child) -> None:
        child.status_file.unlink(missing_ok=True)
        own_flags = ["--processes", "1", "--slot", str(child.slot), "--status-file", str(child.status_file)]
        child.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", *self._flags, *own_flags],
            env={**os.environ, METRICS_FOLDER: str(self._folder)},
            start_new_session=True,  # so that Ctrl-C at a terminal reaches a child once, from the supervisor
        )
        self._log(logging.INFO, "process_started", slot=child.slot, child_pid=child.process.pid)

    def _on_exit(self, child: _Child, returned: int) -> ExitCode | None:
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
        if returned in _FINAL_CODES:
            return ExitCode(returned)
        # A poison record crashes a process 2 x max_attempts times before it is rejected; a supervisor that gave up
        # earlier would meet it again at every start. Two such records in a row must fit.
        if len(child.crashes) >= max(_MIN_CRASHES, 4 * self._settings.max_attempts + 1):
            crashes = len(child.crashes)
            self._log(logging.ERROR, "process_given_up", slot=child.slot, crashes=crashes, window_s=_WINDOW_S)
            return ExitCode.CHILDREN
        return None

    def _stop_children(self, code: ExitCode | None) -> ExitCode:
        """Stop all children at once, and return `code` or else the first exit code of theirs that is not OK."""
        running = [child for child in self._children if child.process is not None]
        for child in running:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_deadline_s + 5.0
        result = code or ExitCode.OK
        for child in running:
            assert child.process is not None  # noqa: S101
            try:
                returned = child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                returned = ExitCode.DEADLINE
            if result is ExitCode.OK and returned != 0:
                result = ExitCode(returned) if returned in set(ExitCode) else ExitCode.FAILED
        for file in self._folder.iterdir():
            file.unlink()
        self._folder.rmdir()
        return result


class ChildrenCollector(Collector):
    """The `process_*` metrics of all children: their sums, and the latest start time, so that a restart shows.

    Args:
        pids: returns those of the children that run.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        """Return prometheus-client's process metrics, added up."""
        totals: dict[str, Metric] = {}
        for pid in self._pids():
            for metric in ProcessCollector(pid=functools.partial(int, pid), registry=None).collect():
                total = totals.setdefault(metric.name, metric)
                if total is not metric:
                    add = max if metric.name == "process_start_time_seconds" else operator.add
                    value = add(total.samples[0].value, metric.samples[0].value)
                    total.samples[0] = total.samples[0]._replace(value=value)
        return totals.values()


def follow_parent() -> None:
    """Ask the kernel to stop this process when its supervisor ends, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process is not None and _runs(child):
        child.process.send_signal(number)


def _runs(child: _Child) -> bool:
    return child.process is not None and child.process.poll() is None
