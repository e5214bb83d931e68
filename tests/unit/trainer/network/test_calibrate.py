from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from schemas.decision import Decision, zero_one_costs
from schemas.encoding import UNKNOWN_ID
from trainer.network.calibrate import (
    fit_certainty,
    fit_mismatch,
    fit_mix,
    fit_temperature,
    fit_unknown_power,
    with_unknown_words,
)

LABELS = [1, 2, 3, 4, 5]


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_undoes_overconfidence(true_temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5)).astype(np.float32) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (shares.cumsum(axis=1) < random.uniform(size=(20_000, 1))).sum(axis=1)
    found = fit_temperature(logits * np.float32(true_temperature), targets, LABELS)
    assert found == pytest.approx(true_temperature, rel=0.05)


def test_mix_recovers_the_shares_behind_the_labels() -> None:
    random = np.random.default_rng(0)
    deep, wide = (random.normal(size=(40_000, 5)).astype(np.float32) * 2 for _ in range(2))
    shares = np.exp(0.7 * deep + 0.3 * wide)
    shares /= shares.sum(axis=1, keepdims=True)
    targets = (shares.cumsum(axis=1) < random.uniform(size=(40_000, 1))).sum(axis=1)
    assert fit_mix(deep, wide, targets) == pytest.approx((0.7, 0.3), abs=0.03)
    assert fit_mix(deep, -wide, targets)[1] == 0, "a misleading part is left out, never inverted"


class Said(NamedTuple):
    """What a model says of texts, in place of the model, its rows and its scores."""

    probabilities: npt.NDArray[np.float32]
    targets: npt.NDArray[np.intp]

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        return self.probabilities

    @property
    def scores(self) -> Said:
        return self

    @property
    def decision(self) -> Decision:
        return Decision(labels=LABELS, costs=zero_one_costs(5))

    @property
    def confidences(self) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = self.probabilities.max(axis=1)
        return found

    @property
    def choices(self) -> npt.NDArray[np.intp]:
        choices: npt.NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return choices

    @property
    def known_words(self) -> npt.NDArray[np.int64]:
        return np.ones(len(self.targets), dtype=np.int64)

    def score_ids(self, rows: npt.NDArray[np.float32]) -> Said:
        assert rows is self.rows
        return self


def said(seed: int, texts: int) -> Any:
    """Authors whose stars are drawn from what the model says."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(5, 0.3), texts).astype(np.float32)
    return Said(shares, (shares.cumsum(axis=1) < random.uniform(size=(texts, 1))).sum(axis=1).clip(0, 4))


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_share_of_false_alarms_is_at_most_the_one_asked_for_on_other_texts(rate: float) -> None:
    shares = []
    for seed in range(40):
        validation = said(seed, 1000)
        rule = fit_mismatch(validation, validation, said(1000 + seed, 20_000), rate)
        assert rule.false_alarm_rate == rate
        shares.append(rule.held_out_share)
    assert rate * 0.85 < np.mean(shares) < rate * 1.05


def test_too_few_texts_for_the_rate_flag_nothing() -> None:
    few, enough = said(0, 98), said(0, 99)
    assert fit_mismatch(few, few, said(1, 500), 0.01).held_out_share == 0
    assert fit_mismatch(enough, enough, said(1, 500), 0.01).threshold > 0


@pytest.mark.parametrize("accuracy", [0.7, 0.9])
def test_certain_ratings_have_the_accuracy_asked_for_on_other_texts(accuracy: float) -> None:
    sides = [said(seed, 2000) for seed in range(9)]
    found = [fit_certainty(side, side, said(100 + at, 20_000), accuracy) for at, side in enumerate(sides)]
    assert np.mean([rule.held_out_accuracy for rule in found]) == pytest.approx(accuracy, abs=0.01)
    assert all(rule.held_out_share > 0.05 for rule in found)


def test_no_rating_is_certain_where_no_confidence_gives_the_accuracy() -> None:
    wrong = Said(np.tile(np.array([0.6, 0.1, 0.1, 0.1, 0.1], dtype=np.float32), (50, 1)), np.full(50, 4))
    rule = fit_certainty(wrong, wrong, wrong, 0.9)  # type: ignore[arg-type]
    assert (rule.min_confidence, rule.held_out_share) == (1.0, 0.0)


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_the_power_of_the_shrinking_is_recovered(power: float) -> None:
    """Beliefs that are worth less, the more words are unknown."""
    random = np.random.default_rng(0)
    prior, unknown = np.array([0.3, 0.1, 0.1, 0.1, 0.4]), random.random(60_000)
    own = random.dirichlet(np.full(5, 0.3), 60_000)
    true = (1 - unknown[:, None]) ** power * own + (1 - (1 - unknown[:, None]) ** power) * prior
    targets = (true.cumsum(axis=1) < random.uniform(size=(60_000, 1))).sum(axis=1).clip(0, 4)
    decision = Decision(labels=LABELS, costs=zero_one_costs(5), prior=prior.tolist())
    logits = np.log(np.maximum(own, 1e-9)).astype(np.float32)
    assert fit_unknown_power(decision, logits, unknown.astype(np.float32), targets) == pytest.approx(power, rel=0.05)


def test_words_are_made_unknown_or_another_in_every_share() -> None:
    rows = [np.arange(2, 42, dtype=np.int32)] * 500
    found = with_unknown_words(rows, 0)
    shares = np.array([np.mean(row == UNKNOWN_ID) for row in found])
    assert shares.min() < 0.05
    assert shares.max() > 0.95
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    known = np.array([row != UNKNOWN_ID for row in found])
    others = np.array([row != rows[0] for row in found]) & known
    assert others.sum() / known.sum() == pytest.approx(1 / 3, abs=0.05), "E[s (1 - s)] / E[1 - s]"
    assert np.isin(np.concatenate(found), [UNKNOWN_ID, *rows[0]]).all()
