from __future__ import annotations

import numpy as np
import pytest

from schemas.decision import Decision, zero_one_costs
from schemas.inference import Scores
from trainer.data.dataset import Part
from trainer.evaluation.label_noise import label_noise
from trainer.evaluation.metrics import Evaluation, evaluation_of


def evaluated(shares: list[list[float]], targets: list[int]) -> Evaluation:
    found = np.array(shares, dtype=np.float32)
    decision = Decision(labels=[1, 2, 3], costs=zero_one_costs(3))
    scores = Scores.of(found, found.argmax(axis=1), found.max(axis=1))
    return evaluation_of(scores, np.array(targets), decision)


def test_authors_of_the_same_words_limit_what_one_rating_can_reach() -> None:
    sides = [
        Part(texts, np.array(targets))
        for texts, targets in (
            (["Good!", "good", "good."], [2, 2, 0]),
            (["bad", "good", "odd"], [0, 1, 1]),
            (["bad"], [0]),
        )
    ]
    found = label_noise(sides, evaluated([[1, 0, 0]], [0]))
    assert (found.repeated_texts, found.repeated_reviews) == (2, 6)
    assert found.best_accuracy == pytest.approx(4 / 6)


def test_only_stars_far_from_what_the_model_is_sure_of_contradict() -> None:
    sure, unsure = [0.9, 0.05, 0.05], [0.5, 0.3, 0.2]
    found = evaluated([sure, sure, sure, sure, unsure], [0, 0, 1, 2, 2])
    assert label_noise([], found).contradicting_share == pytest.approx(1 / 5)


def test_without_repeated_texts_nothing_is_said_to_be_impossible() -> None:
    assert label_noise([Part(["a", "b"], np.array([0, 1]))], evaluated([[1, 0, 0]], [0])).best_accuracy == 1.0
