"""What a process says of itself, alone and as one of several."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from deploy.process import wait_until
from tests.doubles import ManualClock
from worker.ops.health import QUIET_S, Health
from worker.run.child_status import SupervisedHealth, report_status


def make_health(clock: ManualClock) -> Health:
    return Health(clock, stall_s=120, parts=("model", "kafka"))


def test_a_process_starts_not_ready_and_says_what_is_missing(clock: ManualClock) -> None:
    health = make_health(clock)
    assert health.reasons == {"model": "starting", "kafka": "starting"}
    assert health.alive


def test_a_part_that_is_up_is_news_once(clock: ManualClock) -> None:
    health = make_health(clock)
    assert health.up("model")
    assert not health.up("model")
    assert health.up("kafka")
    assert health.reasons == {}


def test_a_part_that_is_down_is_news_once_a_reason(clock: ManualClock) -> None:
    health = make_health(clock)
    health.up("kafka")
    assert health.down("kafka", "away")
    assert not health.down("kafka", "away")
    assert health.down("kafka", "still away")
    assert health.reasons["kafka"] == "still away"


def test_a_silent_loop_is_first_not_ready_then_stuck(clock: ManualClock) -> None:
    health = Health(clock, stall_s=120, parts=())
    clock.advance(QUIET_S)
    assert health.reasons == {}
    clock.advance(1)
    assert health.reasons == {"loop": "no progress for 11 s"}
    clock.advance(120)
    stuck = not health.alive
    assert stuck
    health.beat()
    assert health.alive
    assert health.reasons == {}


def test_reasons_are_a_copy(clock: ManualClock) -> None:
    health = make_health(clock)
    dict(health.reasons).clear()
    assert len(health.reasons) == 2


def write(path: Path, *, alive: bool = True, reasons: dict[str, str] | None = None) -> Path:
    path.write_text(json.dumps({"alive": alive, "reasons": reasons or {}}))
    return path


def test_the_whole_is_ready_when_each_process_is(tmp_path: Path) -> None:
    files = {slot: write(tmp_path / f"{slot}.json") for slot in (0, 1)}
    whole = SupervisedHealth(files)
    assert whole.reasons == {}
    assert whole.alive
    write(files[1], reasons={"redis": "redis: away"})
    assert whole.reasons == {"1/redis": "redis: away"}


def test_a_process_that_has_not_said_anything_yet_is_starting_not_stuck(tmp_path: Path) -> None:
    whole = SupervisedHealth({0: write(tmp_path / "0.json"), 1: tmp_path / "1.json"})
    assert whole.reasons == {"1/process": "starting"}
    assert whole.alive


def test_a_stuck_process_makes_the_whole_stuck(tmp_path: Path) -> None:
    whole = SupervisedHealth({0: write(tmp_path / "0.json"), 1: write(tmp_path / "1.json", alive=False)})
    assert not whole.alive


def test_a_process_that_stopped_saying_is_silent_and_stuck(tmp_path: Path) -> None:
    path = write(tmp_path / "0.json")
    before = time.time() - 60
    os.utime(path, (before, before))
    whole = SupervisedHealth({0: path})
    assert whole.reasons == {"0/process": "silent"}
    assert not whole.alive


def test_a_torn_or_foreign_file_is_no_reason_to_fall_over(tmp_path: Path) -> None:
    path = tmp_path / "0.json"
    for content in ("", "{", "[]", "7"):
        path.write_text(content)
        assert SupervisedHealth({0: path}).reasons == {"0/process": "starting"}


def test_report_is_what_the_supervisor_reads(tmp_path: Path, clock: ManualClock) -> None:
    health = make_health(clock)
    path = tmp_path / "new" / "slot-0.json"
    report_status(path, health)
    wait_until(path.exists, 5, "the first report")
    whole = SupervisedHealth({0: path})
    assert whole.reasons == {"0/model": "starting", "0/kafka": "starting"}
    health.up("model")
    health.up("kafka")
    wait_until(lambda: not whole.reasons, 5, "the news")
    assert whole.alive
