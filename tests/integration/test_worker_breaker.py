"""An open breaker on real services: what it says, what `dlq held` shows, and that a setting lets records through."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker
from worker.__main__ import main
from worker.errors import ExitCode


def _breaker_is_open(worker: RunningWorker) -> bool:
    return "breaker" in worker.reasons


def test_the_breaker_says_what_to_do_and_a_setting_lets_its_records_through(
    deployment: Deployment, clean_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in deployment.environ.items():
        clean_environment.setenv(name, value)
    values = [json.dumps({"vertraulich": f"love it, number {number}"}).encode() for number in range(120)]
    deployment.produce(*(Message(value, key=b"r%d" % number) for number, value in enumerate(values)))
    for again in (False, True):
        worker = deployment.worker(breaker_consecutive="20")
        worker.until(partial(_breaker_is_open, worker), "the breaker")
        reason = worker.reasons["breaker"]
        for part in ("no_text", "vertraulich", "WORKER_TEXT_FIELD", f"{deployment.input}-", "dlq held"):
            assert part in reason
        assert "love it" not in reason
        assert ("a restart alone does not help" in reason) == again
        assert worker.stop() == ExitCode.BREAKER
    before = len(deployment.read(deployment.dead))
    assert main(["dlq", "held", "--json"]) == ExitCode.OK
    said = capsys.readouterr()
    held = [json.loads(line) for line in said.out.splitlines()]
    assert len(held) == 120 - before
    assert {record["reason"] for record in held} == {"no_text"}
    assert all("vertraulich" in record["message"] for record in held)
    assert "love it" not in said.out
    clean_environment.setenv("WORKER_TEXT_FIELD", "vertraulich")
    assert main(["dlq", "held"]) == ExitCode.OK
    assert f"{len(held)} records that it has not committed; 0 cannot be rated" in capsys.readouterr().err
    worker = deployment.worker(text_field="vertraulich").ready()
    worker.until(lambda: deployment.lag() == 0, "all is committed")
    assert len(deployment.stored_ids()) == len(held)
    assert len(deployment.read(deployment.dead)) == before
