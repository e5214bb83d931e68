"""The registry's checks of names, and the faults it reports. tests/contract has what it does on every store."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_wrong_channels_and_those_of_a_missing_version_are_reported(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "channels.json").write_text(f'{{"stable": "{NEW}"}}')
    with pytest.raises(RegistryError, match=f"stable points at {NEW}, which is not in the registry"):
        registry.resolve("stable")
    with pytest.raises(RegistryError, match="is not in the registry"):
        registry.point("candidate", NEW, WHY)
    with pytest.raises(RegistryError, match="lower-case"):
        registry.point("../up", OLD, WHY)


def test_damaged_channel_file_is_a_registry_error(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "channels.json").write_text("{")
    with pytest.raises(RegistryError, match=r"channels\.json"):
        registry.channels()
