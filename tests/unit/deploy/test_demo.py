"""What the demo says before and while it works."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo.__main__ import REGISTRY, how_long
from deploy.demo.step import step


def test_it_says_beforehand_how_long_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert how_long().startswith("The first stars are there in half a minute, by the starter model")
    REGISTRY.mkdir()
    (REGISTRY / "channels.json").write_text("{}")
    assert how_long().startswith("This takes less than half a minute")


def test_a_step_is_named_when_it_begins_and_leaves_nothing_on_a_terminal() -> None:
    plain, terminal = io.StringIO(), io.StringIO()
    with step(Console(file=plain), "starting Redis"):
        assert plain.getvalue() == "starting Redis\n"
    assert plain.getvalue() == "starting Redis\n"
    with step(Console(file=terminal, force_terminal=True), "starting Redis"):
        pass
    assert "starting Redis" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\x1b[?25hl").endswith("\x1b[2K")
