"""The status of supervised processes: written by each, read as one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from deploy.process import wait_until
from tests.doubles import ManualClock
from worker.ops.health import Health
from worker.run.child_status import SupervisedHealth, report_status


def write(path: Path, *, alive: bool = True, reasons: dict[str, str] | None = None) -> Path:
    path.write_text(json.dumps({"alive": alive, "reasons": reasons or {}}))
    return path


def test_all_are_ready_when_each_process_is(tmp_path: Path) -> None:
    files = {slot: write(tmp_path / f"{slot}.json") for slot in (0, 1)}
    supervised = SupervisedHealth(files)
    assert supervised.reasons == {}
    assert supervised.alive
    write(files[1], reasons={"redis": "redis: away"})
    assert supervised.reasons == {"1/redis": "redis: away"}


def test_a_process_without_a_status_is_starting_and_not_stuck(tmp_path: Path) -> None:
    supervised = SupervisedHealth({0: write(tmp_path / "0.json"), 1: tmp_path / "1.json"})
    assert supervised.reasons == {"1/process": "starting"}
    assert supervised.alive


def test_one_stuck_process_makes_all_stuck(tmp_path: Path) -> None:
    supervised = SupervisedHealth({0: write(tmp_path / "0.json"), 1: write(tmp_path / "1.json", alive=False)})
    assert not supervised.alive


def test_a_process_with_an_old_status_is_silent_and_stuck(tmp_path: Path) -> None:
    path = write(tmp_path / "0.json")
    before = time.time() - 60
    os.utime(path, (before, before))
    supervised = SupervisedHealth({0: path})
    assert supervised.reasons == {"0/process": "silent"}
    assert not supervised.alive


def test_an_unreadable_status_counts_as_starting(tmp_path: Path) -> None:
    path = tmp_path / "0.json"
    for content in ("", "{", "[]", "7"):
        path.write_text(content)
        assert SupervisedHealth({0: path}).reasons == {"0/process": "starting"}


def test_the_supervisor_reads_what_a_process_reports(tmp_path: Path, clock: ManualClock) -> None:
    health = Health(clock, stall_s=120, parts=("model", "kafka"))
    path = tmp_path / "new" / "slot-0.json"
    report_status(path, health)
    wait_until(path.exists, 5, "the first report")
    supervised = SupervisedHealth({0: path})
    assert supervised.reasons == {"0/model": "starting", "0/kafka": "starting"}
    health.up("model")
    health.up("kafka")
    wait_until(lambda: not supervised.reasons, 5, "the news")
    assert supervised.alive
