"""The progress of a long run: lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from tests import PATIENCE_S
from tests.doubles import ManualClock
from worker.ops.progress import LongRun, waiting


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


def test_progress_without_a_total_counts_only(clock: ManualClock) -> None:
    log, terminal = io.StringIO(), io.StringIO()
    with LongRun(Console(file=log), clock, "sending", None, unit="reviews") as progress:
        clock.advance(6.0)
        progress.update(1500, "")
    assert log.getvalue() == "sending: 1500 reviews\n"
    with LongRun(Console(file=terminal, force_terminal=True), clock, "sending", None, unit="reviews") as progress:
        progress.update(1500, "")
    assert "1,500 reviews" in terminal.getvalue()


def test_a_long_wait_says_so_in_a_log() -> None:
    said = threading.Event()

    class Log(io.StringIO):
        def flush(self) -> None:
            said.set()

    log = Log()
    with waiting(Console(file=log), "trying kafka", line_every_s=0.01):
        assert said.wait(PATIENCE_S)
    assert log.getvalue().startswith("trying kafka: no answer for 0 s\n")
    before = log.getvalue()
    with waiting(Console(file=log), "trying redis"):
        pass
    assert log.getvalue() == before, "a quick answer is no wait"
