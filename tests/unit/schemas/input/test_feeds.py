"""The examples of schemas/FEEDS.md: each file gives what the page says, by the command as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest

from schemas.input.presets import Preset
from tests.conftest import ROOT
from worker.__main__ import main

SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", (ROOT / "schemas/FEEDS.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
)


def test_every_preset_has_a_section() -> None:
    assert {*SECTIONS} >= {*get_args(Preset)}


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("name", SECTIONS)
def test_an_example_becomes_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (file,) = re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```", SECTIONS[name], re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r"^\$ starstream-worker ([^\n]*)\n(.*?)```", SECTIONS[name], re.MULTILINE | re.DOTALL)
    encoding = "utf-16" if name == "play-console" else "utf-8"
    Path(file[0]).write_bytes(file[1].encode(encoding))
    assert main(shlex.split(command[0])) == 0
    assert capsys.readouterr().out == command[1]
