"""The registry in a folder: names, faults, and readers during a write. tests/contract holds every store to the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from trainer.errors import RegistryError
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from trainer.registry.registry import Registry

OLD = "20260101T000000Z-00000000"
NEW = "20260102T000000Z-11111111"
WHY = Why(action="promote", message="a test")
FILES = {"model.tflite": b"model", "manifest.json": b"{}"}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = open_registry(str(tmp_path))
    found.publish(OLD, FILES)
    return found


MOVE = """
import sys
from trainer.registry.history import Why
from trainer.registry.open import open_registry
registry = open_registry(sys.argv[1])
for number in range(60):
    registry.point(f"{sys.argv[2]}{number}", sys.argv[3], Why(action="promote"))
"""


def test_readers_never_see_half_a_channel_file(registry: Registry, tmp_path: Path) -> None:
    registry.publish(NEW, FILES)
    writers = [
        subprocess.Popen([sys.executable, "-c", MOVE, str(tmp_path), name, version], cwd=ROOT)
        for name, version in (("a", OLD), ("b", NEW))
    ]
    while any(writer.poll() is None for writer in writers):
        assert set(registry.channels().values()) <= {OLD, NEW}
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(registry.channels()) == 120


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("beta", f"beta is not in the registry; there are: stable, {OLD}"),
        (NEW, f"{NEW} is not in the registry"),
        ("../escape", "is not in the registry"),
    ],
)
def test_unknown_name_lists_the_known_ones(registry: Registry, name: str, reason: str) -> None:
    registry.point("stable", OLD, WHY)
    with pytest.raises(RegistryError) as caught:
        registry.resolve(name)
    assert reason in str(caught.value)


def test_channel_of_a_missing_version_is_reported(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "channels.json").write_text(f'{{"stable": "{NEW}"}}')
    with pytest.raises(RegistryError, match=f"stable points at {NEW}, which is not in the registry"):
        registry.resolve("stable")
    with pytest.raises(RegistryError, match="is not in the registry"):
        registry.point("candidate", NEW, WHY)


@pytest.mark.parametrize("content", ["{", "[]", '{"stable": 3}', "\ufffd"])
def test_damaged_channel_file_is_a_registry_error(registry: Registry, tmp_path: Path, content: str) -> None:
    (tmp_path / "channels.json").write_text(content)
    with pytest.raises(RegistryError, match=r"channels\.json"):
        registry.channels()


@pytest.mark.parametrize("channel", ["", "../up", "Stable", OLD, "a b"])
def test_channel_names_are_checked(registry: Registry, channel: str) -> None:
    with pytest.raises(RegistryError, match="lower-case"):
        registry.point(channel, OLD, WHY)


def test_registry_that_cannot_be_written_is_a_registry_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="nothing was published"):
        open_registry(str(tmp_path / "file")).publish(OLD, FILES)
