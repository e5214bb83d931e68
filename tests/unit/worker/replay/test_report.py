"""What a replay reports at its end."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from worker.errors import SettingsError
from worker.kafka.offset_range import Span
from worker.records import Partition
from worker.replay.diff import Diff, Side
from worker.replay.plan import Plan
from worker.replay.report import Report, write_report

PLAN = Plan("g", "v1", "out", "earliest", "latest", {Partition("reviews", 0): Span(10, 20)})


def test_report_has_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    diff = Diff()
    position = ("reviews", "id", 0, 1)
    diff.add(Side("new", 5, 4.0, position), Side("old", 4, 3.5, position))
    outcomes = Counter(rated=1, rejected=2)
    report = Report(PLAN, "new:", "", outcomes, Counter(no_text=2), 0.5, diff)  # type: ignore[arg-type]
    write_report(report, "-")
    fields = json.loads(capsys.readouterr().out)
    assert fields["this_run"] == {
        "rated": 1, "rejected": 2, "deleted": 0, "seconds": 0.5, "rejected_by_reason": {"no_text": 2},
    }  # fmt: skip
    assert (fields["offsets"], fields["diff"]["compared"], fields["diff"]["agreement"]) == (10, 1, 0.0)
    write_report(report, None)
    shown = capsys.readouterr().out
    assert "1 reviews rated by v1" in shown
    assert "2 could not be rated (no_text 2)" in shown
    assert "live model old: 1, agreement 0.0%, mean expected stars +0.500" in shown


def test_report_that_cannot_be_written_names_the_flag() -> None:
    report = Report(PLAN, "new:", "", Counter(), Counter(), 0.0, Diff())
    with pytest.raises(SettingsError, match="--json /proc/no/such: "):
        write_report(report, "/proc/no/such")
