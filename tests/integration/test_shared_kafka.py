"""The broker that all processes of a run share starts once, ends with its last user, and says if it cannot start."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.kafka.broker import broker_answers
from deploy.process import ServiceUnavailable, StartFailed, wait_until
from tests import PATIENCE_S
from tests.fixtures.shared_kafka import shared_kafka


def test_the_broker_is_one_for_all_users_and_ends_with_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    with ExitStack() as first, ExitStack() as second:
        used = [stack.enter_context(shared_kafka(folder)).bootstrap for stack in (first, second)]
        assert used[0] == used[1]
        port = int(used[0].rpartition(":")[2])
        first.close()
        assert broker_answers(port, PATIENCE_S)
    wait_until(lambda: not (folder / "address").exists(), PATIENCE_S, "the keeper to see that its last user has left")
    wait_until(lambda: not broker_answers(port, 0.3), PATIENCE_S, "the broker's end")


def test_every_user_is_told_why_there_is_no_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="no `java` on PATH"), shared_kafka(tmp_path / "kafka"):
            pass


def test_a_keeper_that_ends_at_once_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(StartFailed, match=r"its keeper ended, see .*/keeper\.log"), shared_kafka(tmp_path / "kafka"):
        pass
