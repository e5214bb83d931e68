"""The status of supervised processes: written by each, read as one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from deploy.process import wait_until
from tests.doubles import ManualClock
from worker.ops.health import Health
from worker.run.child_status import SupervisedHealth, report_status

WELL = '{"alive": true, "reasons": {}}'


@pytest.mark.parametrize(
    ("second", "reasons", "alive"),
    [
        (WELL, {}, True),
        ('{"alive": true, "reasons": {"redis": "redis: away"}}', {"1/redis": "redis: away"}, True),
        ('{"alive": false, "reasons": {}}', {}, False),
        *((unreadable, {"1/process": "starting"}, True) for unreadable in (None, "", "{", "[]", "7")),
    ],
)
def test_the_status_of_all_is_the_worst_of_each(
    second: str | None, reasons: dict[str, str], alive: bool, tmp_path: Path
) -> None:
    files = {slot: tmp_path / f"{slot}.json" for slot in (0, 1)}
    files[0].write_text(WELL)
    if second is not None:
        files[1].write_text(second)
    supervised = SupervisedHealth(files)
    assert (supervised.reasons, supervised.alive) == (reasons, alive)


def test_a_process_with_an_old_status_is_silent_and_stuck(tmp_path: Path) -> None:
    path = tmp_path / "0.json"
    path.write_text(WELL)
    before = time.time() - 60
    os.utime(path, (before, before))
    supervised = SupervisedHealth({0: path})
    assert supervised.reasons == {"0/process": "silent"}
    assert not supervised.alive


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
