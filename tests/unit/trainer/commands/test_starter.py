"""`starter`: the model that comes with the package goes into a registry, and moves no channel that serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.starter import CARD_FILE, starter_version
from tests.fixtures.bundles import add_toy
from trainer.__main__ import main
from trainer.errors import Exit
from trainer.network.warm_start import read_start
from trainer.registry.open import open_registry

TOY = "20260102T000000Z-00000002"


def test_an_empty_registry_has_the_starter_as_stable_with_what_a_warm_start_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "models")
    assert main(["starter", "--registry", folder]) == Exit.OK
    registry = open_registry(folder)
    assert registry.channels() == {"stable": starter_version()}
    assert f"published {starter_version()}" in capsys.readouterr().out
    assert read_start(registry, "stable").arrays["embedding.0"].shape[1] > 0
    (change,) = registry.history()
    assert (change.action, change.message) == ("publish", "the starter")
    assert main(["verify", "--registry", folder]) == Exit.OK
    assert main(["starter", "--registry", folder]) == Exit.OK, "again"
    assert "already" in capsys.readouterr().out
    assert len(registry.history()) == 1


def test_a_channel_that_serves_another_version_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models"
    add_toy(folder, TOY)
    assert main(["promote", TOY, "--registry", str(folder)]) == Exit.OK
    capsys.readouterr()
    assert main(["starter", "--registry", str(folder)]) == Exit.OK
    said = capsys.readouterr().out
    assert f"stable stays at {TOY}; to compare the two: promote {starter_version()} --channel stable" in said
    assert json.loads((folder / "channels.json").read_bytes()) == {"stable": TOY}
    assert main(["starter", "--registry", str(folder), "--channel", "candidate"]) == Exit.OK
    assert json.loads((folder / "channels.json").read_bytes()) == {"stable": TOY, "candidate": starter_version()}


def test_the_card_is_printed_and_nothing_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["starter", "--card", "--registry", str(tmp_path / "models")]) == Exit.OK
    assert capsys.readouterr().out == CARD_FILE.read_text(encoding="utf-8")
    assert not (tmp_path / "models").exists()
