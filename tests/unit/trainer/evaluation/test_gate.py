from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.bundle import read_bundle
from schemas.inference import Model, Scores
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from trainer.data.dataset import Part
from trainer.evaluation.gate import Contender, Verdict, decide
from trainer.evaluation.metrics import evaluate
from trainer.export.runtime import open_interpreter
from trainer.settings import GateSettings

LABELS = [1, 2, 3, 4, 5]
TEXTS = ["love it", "worst app", "ok"]
Indices = NDArray[np.intp]


@pytest.fixture(scope="module")
def model() -> Model:
    return read_bundle(TOY_REGISTRY / TOY_VERSION).load(open_interpreter)


class _Slow:
    """Rates everything thirty times."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def score(self, texts: Sequence[str]) -> Scores:
        for _ in range(29):
            self._model.score(texts)
        return self._model.score(texts)


class _Scripted:
    """Gives each text the next of the choices, all with the same confidence."""

    def __init__(self, model: Model, choices: Indices, confidence: float) -> None:
        self.decision = model.decision
        probabilities = np.full((len(choices), 5), (1 - confidence) / 4, dtype=np.float32)
        probabilities[np.arange(len(choices)), choices] = confidence
        found = probabilities[np.arange(len(choices)), choices]
        self._scores = Scores.of(probabilities, choices, found)

    def score(self, texts: Sequence[str]) -> Scores:
        del texts
        return self._scores


def _contender(
    model: Model, targets: Indices, choices: Indices, *, confidence: float = 0.8, size: int = 10**6
) -> Contender:
    scripted: Model = _Scripted(model, choices, confidence)  # type: ignore[assignment]
    return Contender("version", model, evaluate(scripted, Part(["x"] * len(targets), targets)), size, (1e-4, 5e-3))


def _targets(rows: int) -> Indices:
    return np.arange(rows, dtype=np.intp) % 5


def _wrong(targets: Indices, every: int) -> Indices:
    """Return the targets with every `every`th replaced by the next star."""
    return np.where(np.arange(len(targets)) % every == 0, (targets + 1) % 5, targets)


def _failing(verdict: Verdict) -> set[str]:
    return {row.name for row in verdict.rows if not row.passed}


def _verdict(new: Contender, current: Contender | None, groups: Sequence[str] = (), **settings: float) -> Verdict:
    part = Part(TEXTS * 20, new.evaluation.targets, [*groups])
    return decide(new, current, part, GateSettings.model_validate({"gate_slower": 20.0, **settings}))


def test_equal_versions_pass_every_row(model: Model) -> None:
    targets = _targets(1000)
    same = _contender(model, targets, _wrong(targets, 5))
    assert same.evaluation.figures["accuracy"] == pytest.approx(0.8)
    verdict = _verdict(same, same)
    assert verdict.refusals == []
    rows = {"accuracy", "macro_f1", "mae", "qwk", "ece", "difference from Keras", "ece over chance", "size MB"}
    rows |= {"us a review", "agreement with the labels"}
    assert {row.name for row in verdict.rows} == rows | {f"f1 of {star}" for star in LABELS}


@pytest.mark.parametrize("rows", [40, 1000])
def test_stars_turned_round_are_refused_though_the_new_version_learned_them(model: Model, rows: int) -> None:
    targets = _targets(rows)
    current = _contender(model, targets, 4 - _wrong(targets, 5))
    verdict = _verdict(_contender(model, targets, targets), current)
    assert "agreement with the labels" in _failing(verdict)
    assert "does the file count 1 as the best" in verdict.notes[-1]


def test_labels_that_the_current_version_knows_nothing_of_are_no_contradiction(model: Model) -> None:
    targets = _targets(1000)
    guess = np.random.default_rng(0).permutation(targets)
    for current in (_contender(model, targets, guess), _contender(model, targets, np.zeros(1000, np.intp))):
        assert "agreement with the labels" not in _failing(_verdict(_contender(model, targets, targets), current))


def test_better_version_passes_and_worse_one_fails_on_its_figures(model: Model) -> None:
    targets = _targets(1000)
    good, bad = (_contender(model, targets, _wrong(targets, every)) for every in (6, 3))
    assert _verdict(good, bad).refusals == []
    verdict = _verdict(bad, good)
    assert {"accuracy", "macro_f1", "mae", "qwk"} <= _failing(verdict)
    assert any("accuracy: 0.666 against 0.833 (+0.167, allowed 0.0" in refusal for refusal in verdict.refusals)


def test_loss_of_one_star_fails_though_the_others_improve(model: Model) -> None:
    rare = np.repeat(np.arange(5), [400, 10, 300, 300, 400])
    current = _contender(model, rare, _wrong(rare, 5))
    verdict = _verdict(_contender(model, rare, np.where(rare == 1, 0, _wrong(rare, 50))), current)
    assert "f1 of 2" in _failing(verdict)
    assert _failing(verdict) <= {"f1 of 2", "macro_f1", "ece", "ece over chance"}


def test_difference_within_the_noise_passes_unless_the_margins_are_alone(model: Model) -> None:
    targets = _targets(40)
    current = _contender(model, targets, _wrong(targets, 5))
    worse = _contender(model, targets, np.where(np.arange(40) == 1, 0, current.evaluation.scores.choices))
    assert "accuracy" not in _failing(_verdict(worse, current))
    assert "accuracy" in _failing(_verdict(worse, current, gate_noise=0.0))
    many = _targets(4000)
    current = _contender(model, many, _wrong(many, 5))
    choices = current.evaluation.scores.choices
    worse = _contender(model, many, np.where(np.arange(4000) % 40 == 1, (choices + 1) % 5, choices))
    assert "accuracy" in _failing(_verdict(worse, current)), "the same share of a larger test is not chance"
    assert "accuracy" not in _failing(_verdict(worse, current, gate_accuracy=0.05)), "the margin is wider"


def test_overconfidence_fails_with_and_without_a_current_version(model: Model) -> None:
    targets = _targets(1000)
    calibrated, overconfident = (
        _contender(model, targets, _wrong(targets, 5), confidence=confidence) for confidence in (0.8, 0.99)
    )
    assert _failing(_verdict(overconfident, None)) == {"ece over chance"}
    assert _failing(_verdict(overconfident, calibrated)) == {"ece", "ece over chance"}


def test_size_speed_and_parity_have_limits(model: Model) -> None:
    targets = _targets(200)
    right = _contender(model, targets, _wrong(targets, 5))
    large = _contender(model, targets, _wrong(targets, 5), size=65 * 10**6)
    assert _failing(_verdict(large, right)) == {"size MB"}
    assert _failing(_verdict(large, right, gate_max_mb=70)) == set()
    slow: Model = _Slow(model)  # type: ignore[assignment]
    slower = Contender("slow", slow, right.evaluation, 10, (1e-4, 5e-3))
    assert _failing(_verdict(slower, right, gate_slower=4.0)) == {"us a review"}
    different = Contender("different", model, right.evaluation, 10, (float("nan"), 5e-3))
    assert _failing(_verdict(different, right)) == {"difference from Keras"}


def test_loss_in_one_group_fails_though_the_others_improve(model: Model) -> None:
    targets = _targets(4000)
    groups = ["maps"] * 400 + ["bank"] * 3600
    current = _contender(model, targets, _wrong(targets, 5))
    new = np.where(np.arange(4000) < 400, _wrong(targets, 3), _wrong(targets, 50))
    failing = _failing(_verdict(_contender(model, targets, new), current, groups))
    assert failing == {"accuracy of maps", "ece", "ece over chance"}, "all say 0.8"
    assert "accuracy of maps" not in _failing(_verdict(current, current, groups))


@pytest.mark.parametrize(("lost", "fails"), [(60, False), (75, True)])
def test_of_twenty_groups_one_may_lose_what_chance_takes(model: Model, lost: int, fails: bool) -> None:
    """60 lost and 34 won of 400 are 2.7 standard errors, too many for one of two groups, not for one of twenty."""
    targets = _targets(8000)
    wrong, at = (targets + 1) % 5, np.arange(8000)
    new, current = np.where(at < lost, wrong, targets), np.where((at >= 200) & (at < 234), wrong, targets)
    groups = [str(number // 400) for number in at]
    verdict = _verdict(_contender(model, targets, new), _contender(model, targets, current), groups)
    assert ("accuracy of 0" in _failing(verdict)) is fails
    assert "accuracy of 0" in {row.name for row in verdict.rows}
    one = _verdict(
        _contender(model, targets, new), _contender(model, targets, current), ["0" if a < 400 else "1" for a in at]
    )
    assert "accuracy of 0" in _failing(one)
