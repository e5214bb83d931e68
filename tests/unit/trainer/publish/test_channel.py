"""The move of a channel; tests/unit/trainer/commands has what the gate allows, tests/model what `train` compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.bundles import add_toy
from trainer.errors import ConflictError, Exit
from trainer.publish.channel import move
from trainer.registry.history import Why
from trainer.registry.open import open_registry

OLD, NEW, OTHER = (f"2026010{day}T000000Z-0000000{day}" for day in (1, 2, 3))


def test_channel_that_moved_since_the_comparison_does_not_move(tmp_path: Path) -> None:
    for version in (OLD, NEW, OTHER):
        add_toy(tmp_path, version)
    registry = open_registry(str(tmp_path))
    registry.point("stable", OTHER, Why(action="promote"))
    with pytest.raises(ConflictError, match=f"stable points at {OTHER}, no longer at {OLD}") as caught:
        move(registry, "stable", NEW, Why(action="train"), OLD)
    assert caught.value.exit_code == Exit.CONFLICT
    assert registry.channels() == {"stable": OTHER}
