from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from schemas.decision import Decision, zero_one_costs
from schemas.encoding import UNKNOWN_ID, Ids
from trainer.evaluation.metrics import figures
from trainer.evaluation.rules import median_costs
from trainer.network.decide import FEWEST_IN_GROUP, Beliefs, HeldOut, Rule, choose_rule, costs_of, fit_decision

LABELS = [1, 2, 3, 4, 5]
LIKELIEST = Decision(labels=LABELS, costs=zero_one_costs(5))
Indices = npt.NDArray[np.intp]


class Drawn(NamedTuple):
    """Texts whose stars are drawn, and calibrated beliefs about them."""

    probabilities: npt.NDArray[np.float32]
    targets: Indices

    @property
    def held_out(self) -> HeldOut:
        return HeldOut(self.probabilities, self.targets, np.zeros(len(self.targets), dtype=np.intp))


def drawn(shares: list[float], texts: int, seed: int = 0, believed: list[float] | None = None) -> Drawn:
    random = np.random.default_rng(seed)
    targets = random.choice(5, texts, p=shares)
    evidence = np.eye(5)[targets] * 1.5 + random.normal(size=(texts, 5))
    odds = np.exp(evidence + np.log(believed or shares))
    return Drawn((odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), targets)


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


def test_chosen_rule_beats_the_fixed_rules() -> None:
    """A rare label that a common one outweighs is found by the chosen costs."""
    texts = drawn([0.7, 0.1, 0.05, 0.05, 0.1], 4000)

    def gain(rule: Rule) -> float:
        choices = choose_rule(rule, texts.held_out, LIKELIEST).choices(texts.probabilities)
        found = figures(texts.targets, choices, LABELS)
        return 4 * found["accuracy"] + found["macro_f1"] + found["qwk"] - found["mae"]

    assert gain("auto") > max(gain("likeliest"), gain("median")) + 0.01


def test_no_rating_goes_to_a_star_with_far_less_belief_than_the_likeliest() -> None:
    texts = drawn([0.7, 0.1, 0.05, 0.05, 0.1], 4000)
    rule = choose_rule("auto", texts.held_out, LIKELIEST)
    choices = rule.choices(texts.probabilities)
    believed = texts.probabilities[np.arange(4000), choices] / texts.probabilities.max(axis=1)
    assert believed.min() >= rule.least_belief >= 0.5
    assert (choices != texts.probabilities.argmax(axis=1)).any()


def test_a_group_in_which_rare_labels_are_rarer_still_holds_the_tilt_back() -> None:
    """What gains on the large group loses in the small one, so the rule stays nearer to the likeliest label."""
    often = drawn([0.2, 0.2, 0.2, 0.2, 0.2], 3000, 0, believed=[0.7, 0.1, 0.05, 0.05, 0.1])
    seldom = drawn([0.96, 0.01, 0.01, 0.01, 0.01], 1000, 1, believed=[0.7, 0.1, 0.05, 0.05, 0.1])
    both = np.concatenate([often.probabilities, seldom.probabilities])
    targets = np.concatenate([often.targets, seldom.targets])
    groups = np.repeat([0, 1], [3000, 1000])

    def lost(held_out: HeldOut) -> float:
        choices = choose_rule("auto", held_out, LIKELIEST).choices(seldom.probabilities)
        return float(
            (seldom.probabilities.argmax(axis=1) == seldom.targets).mean() - (choices == seldom.targets).mean()
        )

    assert lost(HeldOut(both, targets, groups)) < lost(HeldOut(both, targets, np.zeros_like(groups))) - 0.005


def test_groups_of_a_few_texts_do_not_choose() -> None:
    texts = drawn([0.7, 0.1, 0.05, 0.05, 0.1], 4000)
    few = np.arange(4000) < FEWEST_IN_GROUP - 1
    held_out = texts.held_out._replace(groups=few.astype(np.intp))
    nonsense = texts.probabilities.copy()
    nonsense[few] = nonsense[few, ::-1]
    assert choose_rule("auto", held_out._replace(probabilities=nonsense), LIKELIEST) == choose_rule(
        "auto", held_out, LIKELIEST
    )


def test_two_even_labels_get_the_likeliest() -> None:
    random = np.random.default_rng(0)
    targets = np.arange(2000) % 2
    logits = np.eye(2)[targets] * 2 + random.normal(size=(2000, 2))
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    held_out = HeldOut(probabilities, targets, np.zeros(2000, dtype=np.intp))
    rule = choose_rule("auto", held_out, Decision(labels=[0, 1], costs=zero_one_costs(2)))
    assert (rule.choices(probabilities) == probabilities.argmax(axis=1)).all()


def test_words_that_no_training_text_has_are_no_reason_to_shrink_where_they_do_not_matter() -> None:
    """Such as numbers: every text has one here, and all stars are right."""
    targets = np.tile([0, 1], 200)
    rows = [np.array([2 + target, 2 + target, UNKNOWN_ID], np.int32) for target in targets]
    encoder: Any = SimpleNamespace(
        word_counts=lambda found: (found.lengths, np.array([(row > 1).sum() for row in found]))
    )

    def predict(encoded: Sequence[Ids]) -> npt.NDArray[np.float32]:
        votes = np.array([[(row == 2).sum(), (row == 3).sum()] for row in encoded], np.float32)
        return votes * 4

    beliefs = Beliefs(predict, predict(rows), np.full(2, 0.5, np.float32), None)
    wanted: Any = SimpleNamespace(seed=0, decide="likeliest")
    validation: Any = SimpleNamespace(rows=rows, targets=targets)
    decision = fit_decision(wanted, encoder, beliefs, validation, [1, 5])
    assert isinstance(decision, Decision)
    assert decision.unknown_power < 0.5
