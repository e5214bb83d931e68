"""Child processes and local services: start, stop, signals, and what happens when the parent dies.

The children are real (`sh`, `python`), because the tests are about the kernel's behaviour. Only the children sleep.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import process
from deploy.process import (
    LOOPBACK,
    ChildProcess,
    LocalService,
    LocalServiceError,
    StartFailed,
    Tie,
    alive,
    free_port,
    port_taken,
    wait_until,
)
from tests import PATIENCE_S

SLEEP = ["/bin/sh", "-c", "echo ready; exec sleep 600"]
# A handler, as Java has one: unlike the default action, it runs only after a paused process resumes.
POLITE = ["/bin/sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"]
STUBBORN = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
PARENT = """
import pathlib, sys, time
from deploy.process import ChildProcess, Tie
command = ["/bin/sh", "-c", "read -r _; exit" if sys.argv[2] == "STDIN" else "exec sleep 600"]
child = ChildProcess(command, log_path=pathlib.Path(sys.argv[1]), tie=Tie[sys.argv[2]])
print(child.pid, flush=True)
time.sleep(600)
"""


def never() -> bool:
    return False


def children() -> set[int]:
    """Process ids of this process's children, zombies included (/proc/<pid>/stat, field 4 is the parent)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(autouse=True)
def _leaves_no_process() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


def started(command: list[str], log: Path) -> ChildProcess:
    """Start `command` and wait for its `ready`, after which its traps are set."""
    child = ChildProcess(command, log_path=log)
    child.wait_ready(lambda: "ready" in child.log_output, timeout_s=PATIENCE_S)
    return child


def test_terminate_ends_the_child_and_returns_the_signal(log: Path) -> None:
    child = started(SLEEP, log)
    assert child.returncode is None
    assert child.terminate() == -signal.SIGTERM
    assert not alive(child.pid)


def test_child_that_ignores_sigterm_is_killed_after_the_grace_period(log: Path) -> None:
    assert started(STUBBORN, log).terminate(grace_s=0.2) == -signal.SIGKILL


def test_suspended_child_stops_until_resumed(log: Path) -> None:
    child = started(SLEEP, log)
    child.suspend()
    wait_until(lambda: state(child.pid) == "T", PATIENCE_S, "the pause")
    child.resume()
    wait_until(lambda: state(child.pid) == "S", PATIENCE_S, "the resumption")
    child.kill()


def test_suspended_child_ends_on_terminate_without_being_killed(log: Path) -> None:
    child = started(POLITE, log)
    child.suspend()
    assert child.terminate(grace_s=10) == 9


def test_signals_to_an_ended_child_do_nothing(log: Path) -> None:
    child = ChildProcess(["/bin/sh", "-c", "exit 7"], log_path=log)
    assert child.wait() == 7
    child.suspend()
    assert child.kill() == 7
    assert child.terminate() == 7


def test_wait_ready_reports_the_exit_code_and_the_end_of_the_log(log: Path) -> None:
    child = ChildProcess(["/bin/sh", "-c", "echo no such disk >&2; exit 3"], log_path=log)
    with pytest.raises(StartFailed, match=r"exit code 3[\s\S]*no such disk"):
        child.wait_ready(never, timeout_s=10)


def test_wait_ready_reports_the_deadline_and_the_end_of_the_log(log: Path) -> None:
    child = started(SLEEP, log)
    with pytest.raises(StartFailed, match=r"within 0\.1 s[\s\S]*ready"):
        child.wait_ready(never, timeout_s=0.1)
    child.kill()


def test_wait_ready_fails_for_an_ended_child_although_the_probe_succeeds(log: Path) -> None:
    child = ChildProcess(["/bin/sh", "-c", "exit 1"], log_path=log)
    child.wait()
    with pytest.raises(StartFailed):
        child.wait_ready(lambda: True, timeout_s=10)


def test_log_tail_has_the_last_lines_of_this_start_only(log: Path) -> None:
    for word in ("first", "second"):
        child = ChildProcess(["/bin/sh", "-c", f"echo {word}; echo a; echo b"], log_path=log)
        child.wait()
    assert child.log_tail() == "second\na\nb"
    assert child.log_tail(lines=1) == "b"
    assert log.read_text().startswith("first")


def run_parent(log: Path, tie: Tie) -> tuple[subprocess.Popen[str], int]:
    """Start a process that starts a child; return it and the child's id."""
    root = Path(process.__file__).parents[1]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(log), tie.name], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("tie", [Tie.GUARD, Tie.STDIN])
def test_child_dies_with_a_parent_that_is_killed(log: Path, tie: Tie) -> None:
    parent, pid = run_parent(log, tie)
    with parent:
        assert alive(pid)
        parent.kill()
    wait_until(lambda: not alive(pid), PATIENCE_S, "the child's end")


def test_child_outlives_the_thread_that_started_it(log: Path) -> None:
    """Chaos restarts brokers from threads; with PR_SET_PDEATHSIG this child would die with its thread."""
    born: list[ChildProcess] = []
    thread = threading.Thread(target=lambda: born.append(started(SLEEP, log)))
    thread.start()
    thread.join()
    with pytest.raises(TimeoutError):
        wait_until(lambda: born[0].returncode is not None, 0.3, "the child's end")
    born[0].kill()


def test_zombie_is_not_alive() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "exit 0"]) as child:
        wait_until(lambda: state(child.pid) == "Z", PATIENCE_S, "the child's end")
        assert not alive(child.pid)


def test_wait_until_names_what_did_not_happen() -> None:
    with pytest.raises(TimeoutError, match=r"the moon: not within 0\.1 s"):
        wait_until(never, 0.1, "the moon")


def test_free_port_is_free_and_returned_once() -> None:
    ports = [free_port() for _ in range(1_000)]  # of about 17,000: without a memory, about 28 pairs would be equal
    assert len(set(ports)) == 1_000
    assert not any(port_taken(port) for port in ports)


def test_free_port_is_outside_the_range_of_outgoing_connections() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(low <= free_port() <= high for _ in range(50))


def test_port_with_a_listener_is_taken() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        assert port_taken(server.getsockname()[1])


class Sleeper(LocalService):
    """A server that says `ready` and sleeps; `ready_word` may be one it never says."""

    name = "sleeper"
    ready_word = "ready"

    def _prepare(self) -> list[str]:
        return SLEEP

    def _answers(self) -> bool:
        return self.ready_word in self.child.log_output


def test_service_starts_again_after_stop_kill_and_restart() -> None:
    with Sleeper(data_dir=None, start_timeout_s=PATIENCE_S) as service:
        pids = [service.pid]
        for end in (service.stop, service.kill):
            end()
            assert not service.running
            service.start()
            pids.append(service.pid)
        service.restart()
        pids.append(service.pid)
        assert len(set(pids)) == 4
        assert service.log_path.read_text() == "ready\n" * 4


def test_start_of_a_running_service_does_nothing() -> None:
    with Sleeper(data_dir=None, start_timeout_s=PATIENCE_S) as service:
        pid = service.pid
        service.start()
        assert service.pid == pid


def test_service_that_does_not_answer_is_killed() -> None:
    service = Sleeper(data_dir=None, start_timeout_s=0.2)
    service.ready_word = "never said"
    with pytest.raises(StartFailed):
        service.start()
    assert not service.running
    assert not alive(service.pid)
    service.close()


def test_service_removes_only_its_temporary_directory(tmp_path: Path) -> None:
    with Sleeper(data_dir=None, start_timeout_s=PATIENCE_S) as service:
        own = service.data_dir
        assert own.is_dir()
    assert not own.exists()
    with Sleeper(data_dir=tmp_path / "kept", start_timeout_s=PATIENCE_S) as service:
        pass
    assert service.log_path.read_text() == "ready\n"


def test_pid_of_a_service_that_was_never_started_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalServiceError, match="call start"):
        _ = Sleeper(data_dir=tmp_path, start_timeout_s=PATIENCE_S).pid
