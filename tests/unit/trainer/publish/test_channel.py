from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.versions import add_toy
from trainer.data.dataset import Part
from trainer.errors import ConflictError, Exit, GateError
from trainer.evaluation.gate import Contender, other_labels
from trainer.publish.channel import Serving, contender, move, verdict_on
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from trainer.registry.registry import Registry
from trainer.settings import GateSettings

LABELS = [1, 2, 3, 4, 5]
TEXTS = ["love it", "worst app", "ok"] * 20
OLD, NEW, OTHER = (f"2026010{day}T000000Z-0000000{day}" for day in (1, 2, 3))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    for version in (OLD, NEW, OTHER):
        add_toy(tmp_path, version)
    found = open_registry(str(tmp_path))
    found.point("stable", OLD, Why(action="train"))
    return found


@pytest.fixture
def new(registry: Registry) -> Contender:
    found = contender(registry, NEW, Part(TEXTS, np.array([4, 0, 2] * 20)), LABELS)
    assert isinstance(found, Contender)
    return found


def test_other_labels_are_refused_without_a_comparison(new: Contender) -> None:
    verdict = verdict_on(new, Serving("v", labels=[0, 1]), LABELS, TEXTS, GateSettings())
    assert verdict == other_labels(LABELS, [0, 1])
    assert verdict.refusals == ["labels: 1, 2, 3, 4, 5 against 0, 1 (another set, allowed the same set)"]


def test_version_that_may_have_learned_the_texts_is_noted(new: Contender) -> None:
    notes = verdict_on(new, Serving("v", new, LABELS, held_out=False), LABELS, TEXTS, GateSettings()).notes
    assert any("may have learned some of these texts" in note for note in notes)


def test_channel_moves_only_when_the_gate_passes_or_is_forced(registry: Registry) -> None:
    refused = Why(action="train", refusals=["accuracy is worse"])
    with pytest.raises(GateError, match="accuracy is worse") as caught:
        move(registry, "stable", NEW, refused, OLD)
    assert caught.value.exit_code == Exit.GATE
    assert registry.channels() == {"stable": OLD}
    move(registry, "stable", NEW, refused.model_copy(update={"forced": True, "message": "urgent"}), OLD)
    last = registry.history()[-1]
    assert (last.forced, last.refusals, last.message) == (True, ["accuracy is worse"], "urgent")


def test_channel_that_moved_since_the_comparison_does_not_move(registry: Registry) -> None:
    registry.point("stable", OTHER, Why(action="promote"))
    with pytest.raises(ConflictError, match=f"stable points at {OTHER}, no longer at {OLD}") as caught:
        move(registry, "stable", NEW, Why(action="train"), OLD)
    assert caught.value.exit_code == Exit.CONFLICT
    assert registry.channels() == {"stable": OTHER}
