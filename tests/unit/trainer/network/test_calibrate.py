from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from schemas.decision import Decision, zero_one_costs
from trainer.evaluation.metrics import figures
from trainer.network.calibrate import choose_costs, costs_of, fit_mismatch, fit_mix, fit_temperature, median_costs

LABELS = [1, 2, 3, 4, 5]


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_undoes_overconfidence(true_temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 5)).astype(np.float32) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (shares.cumsum(axis=1) < random.uniform(size=(20_000, 1))).sum(axis=1)
    found = fit_temperature(logits * np.float32(true_temperature), targets, LABELS)
    assert found == pytest.approx(true_temperature, rel=0.05)


def test_costs_without_distance_are_zero_one_and_of_distance_alone_the_median() -> None:
    shares = np.full(5, 0.2)
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), 500).astype(np.float32)
    likeliest = Decision(labels=LABELS, costs=costs_of(0.0, 0.0, shares)).choices(probabilities)
    assert (likeliest == probabilities.argmax(axis=1)).all()
    median = Decision(labels=LABELS, costs=median_costs(5)).choices(probabilities)
    assert (median == (probabilities.cumsum(axis=1) < 0.5).sum(axis=1)).all()
    assert costs_of(0.0, 0.0, shares) == zero_one_costs(5)


def test_tilt_raises_the_cost_of_missing_a_rare_label() -> None:
    shares = np.array([0.64, 0.04, 0.32])
    costs = np.array(costs_of(0.0, 0.5, shares))
    assert costs.max() == 1.0
    assert costs[1, 0] / costs[0, 1] == pytest.approx((0.64 / 0.04) ** 0.5, rel=1e-5)
    assert (np.diag(costs) == 0).all()


def test_chosen_costs_beat_the_fixed_rules() -> None:
    """A rare label that a common one outweighs is found by the chosen costs."""
    random = np.random.default_rng(0)
    targets = random.choice(5, 4000, p=[0.7, 0.1, 0.05, 0.05, 0.1])
    prior = np.bincount(targets, minlength=5) / 4000
    evidence = np.eye(5)[targets] * 1.5 + random.normal(size=(4000, 5))
    shares = np.exp(evidence + np.log(prior))
    probabilities = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)

    def gain(rule: str) -> float:
        costs = choose_costs(rule, probabilities, targets, LABELS)  # type: ignore[arg-type]
        found = figures(targets, Decision(labels=LABELS, costs=costs).choices(probabilities), LABELS)
        return found["accuracy"] + found["macro_f1"] + found["qwk"] - found["mae"]

    assert gain("auto") > max(gain("likeliest"), gain("median")) + 0.01


def test_mix_recovers_the_shares_behind_the_labels() -> None:
    random = np.random.default_rng(0)
    deep, wide = (random.normal(size=(40_000, 5)).astype(np.float32) * 2 for _ in range(2))
    shares = np.exp(0.7 * deep + 0.3 * wide)
    shares /= shares.sum(axis=1, keepdims=True)
    targets = (shares.cumsum(axis=1) < random.uniform(size=(40_000, 1))).sum(axis=1)
    assert fit_mix(deep, wide, targets) == pytest.approx((0.7, 0.3), abs=0.03)
    assert fit_mix(deep, -wide, targets)[1] == 0, "a misleading part is left out, never inverted"


def test_two_even_labels_get_the_likeliest() -> None:
    random = np.random.default_rng(0)
    targets = np.arange(2000) % 2
    logits = np.eye(2)[targets] * 2 + random.normal(size=(2000, 2))
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    costs = choose_costs("auto", probabilities, targets, [0, 1])
    choices = Decision(labels=[0, 1], costs=costs).choices(probabilities)
    assert (choices == probabilities.argmax(axis=1)).all()


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
