"""A worker that a test forks is a process as one that is started: its variables, its exit code, its signals."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from deploy.process import LOOPBACK, free_port, wait_until
from tests import PATIENCE_S
from tests.conftest import TOY_REGISTRY
from tests.fixtures.forked import ForkedProcess, completed
from worker.errors import ExitCode


def test_a_command_has_only_the_variables_given_and_its_output_and_exit_code() -> None:
    done = completed(["check"], {"WORKER_HTTP_PORT": "many", "PATH": os.defpath})
    assert done.returncode == ExitCode.USAGE
    assert "WORKER_HTTP_PORT" in done.stderr
    assert done.stdout == ""


def test_it_leads_its_session_and_is_suspended_resumed_and_killed(tmp_path: Path) -> None:
    words = ["run", "--registry", str(TOY_REGISTRY), "--kafka-bootstrap-servers", f"{LOOPBACK}:{free_port()}"]
    environ = {"WORKER_HTTP_PORT": str(free_port()), "WORKER_HTTP_HOST": LOOPBACK}
    child = ForkedProcess(words, log_path=tmp_path / "log", environ=environ, cwd=tmp_path)
    with ExitStack() as stack:
        stack.callback(child.kill)
        wait_until(lambda: "page_serving" in child.log_output, PATIENCE_S, "its page")
        assert os.getsid(child.pid) == child.pid
        assert Path(f"/proc/{child.pid}/cwd").readlink() == tmp_path
        child.suspend()
        assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        child.resume()
        assert child.returncode is None
        assert child.kill() == -signal.SIGKILL
