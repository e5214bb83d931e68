"""The progress of a long run: lines in a log, a bar on a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from tests.doubles import ManualClock
from worker.ops.progress import LongRun


def test_progress_in_a_log_is_a_line_every_five_seconds(clock: ManualClock) -> None:
    log = io.StringIO()
    with LongRun(Console(file=log), clock, "rating", 200, done=100) as progress:
        for done in range(110, 210, 10):
            clock.advance(1.0)
            progress.update(done, f"{progress.rate(done - 100):.0f}/s")
    assert log.getvalue().splitlines() == [
        "rating: 150/200 offsets (75%), 10/s",
        "rating: 200/200 offsets (100%), 10/s",
    ]


def test_progress_on_a_terminal_is_a_bar(clock: ManualClock) -> None:
    log = io.StringIO()
    with LongRun(Console(file=log, force_terminal=True), clock, "rating", 10) as progress:
        clock.advance(60.0)
        progress.update(5, "a note")
    assert "50%" in log.getvalue()
    assert "offsets" not in log.getvalue()
