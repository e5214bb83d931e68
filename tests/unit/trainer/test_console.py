"""The screen of a long command, off a terminal and on one."""

from __future__ import annotations

import io

import pytest

from trainer import console
from trainer.console import Screen


def test_a_phase_is_named_when_it_begins(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with screen.phase("wide"):
        assert capsys.readouterr().err == "wide\n"
    assert capsys.readouterr().err.split() == ["wide", f"{screen.seconds['wide']:.1f}", "s"]


def test_a_long_phase_off_a_terminal_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen()
    with screen.phase("fit"):
        screen.on_batch(1, 2, 8, 0.5)
        monkeypatch.setattr(console, "REPORT_EVERY_S", -1.0)
        screen.on_batch(1, 3, 8, 0.5)
    with screen.phase("convert", steps=3):
        screen.advance()
    said = capsys.readouterr().err
    assert "fit 2/8" not in said
    assert "  fit 3/8, epoch 1, loss 0.5000\n" in said
    assert "  convert 1/3\n" in said


def test_a_phase_on_a_terminal_shows_a_bar_that_leaves_only_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    screen = Screen()
    with screen.phase("fit"):
        screen.on_batch(2, 3, 8, 0.5)
        screen.say("  an epoch")
    bar, _, left = shown.getvalue().rpartition("\x1b[2K")
    assert "━" in bar
    assert "epoch 2, loss 0.5000" in bar
    assert "  an epoch" in bar
    assert left.split()[0] == "fit"
