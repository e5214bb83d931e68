from __future__ import annotations

import numpy as np

from schemas.decision import Decision, zero_one_costs
from schemas.inference import Scores
from trainer.evaluation.doubts import doubts
from trainer.evaluation.metrics import Evaluation, evaluation_of

LABELS = [1, 2, 3]


def evaluation(targets: list[int], choices: list[int]) -> Evaluation:
    true, chosen = np.array(targets), np.array(choices)
    shares = np.full((len(true), 3), 0.2, dtype=np.float32)
    shares[np.arange(len(true)), chosen] = 0.6
    scores = Scores.of(shares, chosen, shares.max(axis=1))
    return evaluation_of(scores, true, Decision(labels=LABELS, costs=zero_one_costs(3)))


GOOD, BAD = evaluation([0, 1, 2] * 20, [0, 1, 2] * 20), evaluation([0, 1, 2] * 20, [0, 0, 2] * 20)


def test_a_model_that_is_better_everywhere_raises_no_doubt() -> None:
    assert doubts(GOOD, BAD.figures, (0.7, 0.2), wide=True) == []
    assert doubts(GOOD, None, (1.0, 0.0), wide=False) == []


def test_a_better_baseline_is_named_with_its_figures() -> None:
    (found,) = doubts(BAD, GOOD.figures, (0.7, 0.2), wide=True)
    assert found.startswith("TF-IDF + logistic regression is better on accuracy, macro-F1, MAE")


def test_a_baseline_that_is_better_on_most_figures_but_accuracy_is_named_too() -> None:
    better = {**BAD.figures, "mae": 0.0, "qwk": 1.0, "nll": 0.0, "macro_f1": 1.0}
    (found,) = doubts(BAD, better, (0.7, 0.2), wide=True)
    assert found.startswith("TF-IDF + logistic regression is better on macro-F1, MAE, kappa, NLL")
    assert doubts(BAD, {**BAD.figures, "mae": 0.0}, (0.7, 0.2), wide=True) == []


def test_a_part_that_contributes_nothing_is_named() -> None:
    (found,) = doubts(GOOD, None, (0.01, 0.9), wide=True)
    assert found == "the recurrent part has a weight of 0.01 in the sum: it contributes nothing"
    (found,) = doubts(GOOD, None, (0.9, 0.0), wide=True)
    assert found.startswith("the wide part")


def test_labels_without_held_out_texts_are_named() -> None:
    (found,) = doubts(evaluation([0, 2] * 20, [0, 2] * 20), None, (0.7, 0.2), wide=True)
    assert found == "no held-out text has the label 2: nothing is known of how well it is found"
