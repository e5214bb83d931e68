"""Child processes and local services: start, stop, signals, and what happens when the parent dies.

The children are real (`sh`, `python`), because the tests are about the kernel's behaviour. Only the children sleep.
"""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.process import (
    LOOPBACK,
    ChildProcess,
    LocalService,
    LocalServiceError,
    StartFailed,
    free_port,
    port_taken,
    wait_until,
)
from tests import PATIENCE_S

ROOT = Path(__file__).parents[3]
SLEEP = "echo ready; exec sleep 600"
# A handler, as Java has one: unlike the default action, it runs only after a suspended process resumes.
POLITE = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
PARENT = """
import pathlib, sys, time
from deploy.process import ChildProcess
child = ChildProcess(["/bin/sh", "-c", "exec sleep 600"], log_path=pathlib.Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _leaves_no_process() -> Iterator[None]:
    this = psutil.Process()
    before = set(this.children())
    yield
    assert set(this.children()) <= before


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


def started(script: str, log: Path) -> ChildProcess:
    """Start a shell and wait for its `ready`, after which its traps are set."""
    child = ChildProcess(["/bin/sh", "-c", script], log_path=log)
    child.wait_ready(lambda: "ready" in child.log_output, timeout_s=PATIENCE_S)
    return child


@pytest.mark.parametrize(
    ("script", "grace_s", "code"),
    [(SLEEP, PATIENCE_S, -signal.SIGTERM), (POLITE, PATIENCE_S, 9), (STUBBORN, 0.2, -signal.SIGKILL)],
)
@pytest.mark.parametrize("suspended", [False, True])
def test_terminate_ends_the_child(script: str, grace_s: float, code: int, suspended: bool, log: Path) -> None:
    child = started(script, log)
    if suspended:
        child.suspend()
        assert psutil.Process(child.pid).status() == psutil.STATUS_STOPPED
    assert child.terminate(grace_s) == child.returncode == code
    assert not psutil.pid_exists(child.pid)


def test_signals_to_an_ended_child_do_nothing(log: Path) -> None:
    child = ChildProcess(["/bin/sh", "-c", "exit 7"], log_path=log)
    assert child.wait() == 7
    child.suspend()
    assert child.kill() == child.terminate() == 7


@pytest.mark.parametrize(
    ("script", "answers", "message"),
    [
        ("echo no such disk >&2; exit 3", False, r"exit code 3[\s\S]*no such disk"),
        ("echo ready; exit 3", True, r"exit code 3[\s\S]*ready"),
        (SLEEP, False, r"within 1 s[\s\S]*ready"),
    ],
)
def test_wait_ready_reports_a_failed_start_and_the_end_of_its_log(
    script: str, answers: bool, message: str, log: Path
) -> None:
    child = ChildProcess(["/bin/sh", "-c", script], log_path=log)
    wait_until(lambda: child.log_output != "" and (script == SLEEP or child.returncode is not None), PATIENCE_S, "it")
    with pytest.raises(StartFailed, match=message):
        child.wait_ready(lambda: answers, timeout_s=1)
    child.kill()


def test_log_tail_has_the_last_lines_of_this_start_only(log: Path) -> None:
    for word in ("first", "second"):
        child = ChildProcess(["/bin/sh", "-c", f"echo {word}; echo a; echo b"], log_path=log)
        child.wait()
    assert child.log_tail() == "second\na\nb"
    assert child.log_tail(lines=1) == "b"


def test_child_dies_with_a_parent_that_is_killed(log: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.status() != psutil.STATUS_ZOMBIE
        parent.kill()
    # A container may have nobody who reaps it.
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, PATIENCE_S, "the child's end")


def test_child_outlives_the_thread_that_started_it(log: Path) -> None:
    """Chaos restarts brokers from threads; with PR_SET_PDEATHSIG this child would die with its thread."""
    children: list[ChildProcess] = []
    thread = threading.Thread(target=lambda: children.append(started(SLEEP, log)))
    thread.start()
    thread.join()
    with pytest.raises(TimeoutError, match=r"the child's end: not within 0\.3 s"):
        wait_until(lambda: children[0].returncode is not None, 0.3, "the child's end")
    children[0].kill()


def test_free_port_is_free_returned_once_and_no_port_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(1_000)]  # of about 17,000: without a memory, about 28 pairs would be equal
    assert len(set(ports)) == 1_000
    assert not any(port_taken(port) for port in ports)
    assert max(ports) < 32_768  # where Linux by default begins to assign them
    with socket.create_server((LOOPBACK, ports[0])):
        assert port_taken(ports[0])


class Sleeper(LocalService):
    """A server that says `ready` and sleeps."""

    name = "sleeper"

    def _prepare(self) -> list[str]:
        return ["/bin/sh", "-c", SLEEP]

    def _answers(self) -> bool:
        return "ready" in self.child.log_output


class Mute(Sleeper):
    def _answers(self) -> bool:
        return False


def test_service_starts_again_after_stop_kill_and_restart_and_removes_its_temporary_directory() -> None:
    with Sleeper(data_dir=None, start_timeout_s=PATIENCE_S) as service:
        pids = [service.pid]
        service.start()  # does nothing: it runs
        for end in (service.stop, service.kill):
            end()
            assert not service.running
            service.start()
            pids.append(service.pid)
        service.restart()
        assert len({*pids, service.pid}) == 4
        assert service.log_path.read_text() == "ready\n" * 4
    assert not service.data_dir.exists()


def test_service_that_does_not_answer_is_killed(tmp_path: Path) -> None:
    service = Mute(data_dir=tmp_path / "kept", start_timeout_s=0.2)
    with pytest.raises(LocalServiceError, match="call start"):
        _ = service.pid
    with pytest.raises(StartFailed):
        service.start()
    assert not service.running
    assert service.log_path.exists(), "a directory that was given is kept"
