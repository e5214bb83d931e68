from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.bundle import read_bundle
from schemas.inference import Model, Scores
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.versions import add_toy
from trainer.data.dataset import Part
from trainer.errors import ConflictError, Exit, GateError
from trainer.evaluation.gate import Contender, Verdict, decide, other_labels
from trainer.evaluation.metrics import Evaluation, evaluate
from trainer.export.runtime import open_interpreter
from trainer.publish.channel import Serving, move, verdict_on
from trainer.registry.history import Why
from trainer.registry.open import open_registry
from trainer.settings import GateSettings

LABELS = [1, 2, 3, 4, 5]
TEXTS = ["love it", "worst app", "ok"]


@pytest.fixture(scope="module")
def model() -> Model:
    return read_bundle(TOY_REGISTRY / TOY_VERSION).load(open_interpreter)


class Slow(Model):
    """Rates everything thirty times."""

    def score(self, texts: Sequence[str]) -> Scores:
        for _ in range(29):
            super().score(texts)
        return super().score(texts)


def _contender(
    model: Model, targets: NDArray[np.intp], choices: NDArray[np.intp], *, sure: float = 0.8, size: int = 10**6
) -> Contender:
    """A version that says `choices`, each with the same confidence."""
    probabilities = np.full((len(targets), 5), (1 - sure) / 4, dtype=np.float32)
    probabilities[np.arange(len(targets)), choices] = sure
    told = _Told(model, probabilities, choices)
    return Contender("version", model, evaluate(told, Part(["x"] * len(targets), targets)), size, (1e-4, 5e-3))


class _Told(Model):
    """A model that says what it is told."""

    def __init__(self, model: Model, probabilities: NDArray[np.float32], choices: NDArray[np.intp]) -> None:
        self.decision = model.decision
        self._said = Scores(probabilities, choices, np.zeros(len(choices), np.float32), 1, 0, 1)

    def score(self, texts: Sequence[str]) -> Scores:
        del texts
        return self._said


def _targets(rows: int) -> NDArray[np.intp]:
    return np.arange(rows, dtype=np.intp) % 5


def _wrong(targets: NDArray[np.intp], every: int, *, of: int | None = None) -> NDArray[np.intp]:
    """Say the neighbouring star for every so-many-th text, or for all texts of one star."""
    wrong = np.arange(len(targets)) % every == 0 if of is None else targets == of
    return np.where(wrong, (targets + 1) % 5, targets)


def _failing(verdict: Verdict) -> set[str]:
    return {row.name for row in verdict.rows if not row.passed}


def _judged(new: Contender, current: Contender | None, **settings: float) -> Verdict:
    return decide(new, current, TEXTS * 20, GateSettings.model_validate({"gate_slower": 20.0, **settings}))


def test_equal_versions_pass_and_every_part_is_looked_at(model: Model) -> None:
    targets = _targets(1000)
    same = _contender(model, targets, _wrong(targets, 5))
    verdict = _judged(same, same)
    assert verdict.refusals == []
    looked_at = {"accuracy", "macro_f1", "mae", "qwk", "ece", "difference from Keras", "ece over chance", "size MB"}
    assert {row.name for row in verdict.rows} == looked_at | {"us a review"} | {f"f1 of {star}" for star in LABELS}


def test_better_version_passes(model: Model) -> None:
    targets = _targets(1000)
    better, worse = (_contender(model, targets, _wrong(targets, every)) for every in (6, 3))
    assert _judged(better, worse).refusals == []


def test_worse_version_fails_on_the_figures_that_are_worse(model: Model) -> None:
    targets = _targets(1000)
    now, worse = (_contender(model, targets, _wrong(targets, every)) for every in (6, 3))
    verdict = _judged(worse, now)
    assert {"accuracy", "macro_f1", "mae", "qwk"} <= _failing(verdict)
    assert any("accuracy: 0.666 against 0.833 (+0.167, allowed 0.0" in line for line in verdict.refusals)


def test_star_that_is_lost_fails_though_the_rest_gains(model: Model) -> None:
    targets = np.concatenate([_targets(1000), np.full(40, 2, dtype=np.intp)])
    rare = np.repeat(np.arange(5), [400, 10, 300, 300, 400])
    now = _contender(model, rare, _wrong(rare, 5))
    better_but = np.where(rare == 1, 0, _wrong(rare, 50))
    verdict = _judged(_contender(model, rare, better_but), now)
    assert _failing(verdict) <= {"f1 of 2", "macro_f1", "ece", "ece over chance"}
    assert "f1 of 2" in _failing(verdict)
    assert len(targets) == 1040


def test_loss_that_few_texts_cannot_show_passes_and_margins_alone_refuse_it(model: Model) -> None:
    targets = _targets(40)
    now = _contender(model, targets, _wrong(targets, 5))
    worse = _contender(model, targets, np.where(np.arange(40) == 1, 0, now.evaluation.scores.choices))
    assert "accuracy" not in _failing(_judged(worse, now))
    assert "accuracy" in _failing(_judged(worse, now, gate_noise=0.0))
    many = _targets(4000)
    now = _contender(model, many, _wrong(many, 5))
    choices = now.evaluation.scores.choices
    worse = _contender(model, many, np.where(np.arange(4000) % 40 == 1, (choices + 1) % 5, choices))
    assert "accuracy" in _failing(_judged(worse, now)), "the same share of a larger test is no luck"


def test_margin_may_be_wider_than_the_noise(model: Model) -> None:
    many = _targets(4000)
    now, worse = (_contender(model, many, _wrong(many, every)) for every in (6, 5))
    assert "accuracy" in _failing(_judged(worse, now))
    assert "accuracy" not in _failing(_judged(worse, now, gate_accuracy=0.05))


def test_confidence_that_is_not_earned_fails_with_and_without_a_current_version(model: Model) -> None:
    targets = _targets(1000)
    honest = _contender(model, targets, _wrong(targets, 5), sure=0.8)
    boastful = _contender(model, targets, _wrong(targets, 5), sure=0.99)
    assert _failing(_judged(boastful, None)) == {"ece over chance"}
    assert _failing(_judged(boastful, honest)) == {"ece", "ece over chance"}


def test_size_speed_and_parity_have_limits(model: Model) -> None:
    targets = _targets(200)
    right = _contender(model, targets, _wrong(targets, 5))
    large = _contender(model, targets, _wrong(targets, 5), size=65 * 10**6)
    assert _failing(_judged(large, right)) == {"size MB"}
    assert _failing(_judged(large, right, gate_max_mb=70)) == set()
    bundle = read_bundle(TOY_REGISTRY / TOY_VERSION)
    fast = bundle.load(open_interpreter)
    slow = Slow(fast.encoder, fast._graph, fast.decision)
    slowed = Contender("slow", slow, right.evaluation, 10, (1e-4, 5e-3))
    assert _failing(_judged(slowed, right, gate_slower=4.0)) == {"us a review"}
    off = Contender("off", model, right.evaluation, 10, (float("nan"), 5e-3))
    assert _failing(_judged(off, right)) == {"difference from Keras"}


def test_other_labels_are_refused_and_nothing_is_compared(model: Model) -> None:
    targets = _targets(50)
    new = _contender(model, targets, targets)
    verdict = verdict_on(new, Serving("v", labels=[0, 1]), LABELS, TEXTS, GateSettings())
    assert verdict == other_labels(LABELS, [0, 1])
    assert verdict.refusals == ["labels: 1, 2, 3, 4, 5 against 0, 1 (another set, allowed the same set)"]


def test_version_that_saw_the_texts_is_noted(model: Model) -> None:
    targets = _targets(200)
    same = _contender(model, targets, _wrong(targets, 5))
    serving = Serving("v", same, LABELS, held_out=False)
    notes = verdict_on(same, serving, LABELS, TEXTS, GateSettings(gate_slower=20)).notes
    assert any("may have learned some of these texts" in note for note in notes)


OLD, NEW, OTHER = (f"2026010{day}T000000Z-0000000{day}" for day in (1, 2, 3))


def test_channel_moves_only_when_the_gate_passes_or_somebody_insists(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path))
    for version in (OLD, NEW):
        add_toy(tmp_path, version)
    registry.point("stable", OLD, Why(action="train"))
    refused = Why(action="train", refusals=["accuracy is worse"])
    with pytest.raises(GateError, match="accuracy is worse") as caught:
        move(registry, "stable", NEW, refused, OLD)
    assert caught.value.exit_code == Exit.GATE
    assert registry.channels() == {"stable": OLD}
    forced = refused.model_copy(update={"forced": True, "message": "the old one is unbearable"})
    move(registry, "stable", NEW, forced, OLD)
    last = registry.history()[-1]
    assert (last.forced, last.refusals, last.message) == (True, ["accuracy is worse"], "the old one is unbearable")


def test_channel_that_moved_since_the_gate_looked_stays(tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path))
    for version in (OLD, NEW, OTHER):
        add_toy(tmp_path, version)
    registry.point("stable", OLD, Why(action="train"))
    registry.point("stable", OTHER, Why(action="promote"))
    with pytest.raises(ConflictError, match=f"stable points at {OTHER}, no longer at {OLD}") as caught:
        move(registry, "stable", NEW, Why(action="train"), OLD)
    assert caught.value.exit_code == Exit.CONFLICT
    assert registry.channels() == {"stable": OTHER}


def test_evaluations_of_the_test_are_what_they_say(model: Model) -> None:
    targets = _targets(100)
    found: Evaluation = _contender(model, targets, _wrong(targets, 5)).evaluation
    assert found.figures["accuracy"] == pytest.approx(0.8)
    assert found.figures["ece"] == pytest.approx(0.0, abs=1e-6)
