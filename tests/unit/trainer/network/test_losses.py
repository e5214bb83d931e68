from __future__ import annotations

import numpy as np
import pytest

from trainer.settings import FitSettings

TARGETS = np.array([0] * 70 + [1] * 20 + [2] * 10)


def test_cross_entropy_is_minus_the_log_of_the_true_share() -> None:
    from trainer.network.losses import cross_entropy

    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=np.float32))
    targets = np.eye(3, dtype=np.float32)[[0, 1]]
    assert np.asarray(cross_entropy(targets, logits)) == pytest.approx([-np.log(0.7), -np.log(0.1)], rel=1e-5)


def test_ranked_probability_prefers_a_near_mistake_to_a_far_one() -> None:
    from trainer.network.losses import ranked_probability

    near, far = np.log(np.array([[0.05, 0.9, 0.05], [0.05, 0.05, 0.9]], dtype=np.float32))
    target = np.eye(3, dtype=np.float32)[[0]]
    assert float(ranked_probability(target, near[None])[0]) == pytest.approx(0.95**2 + 0.05**2, rel=1e-5)
    assert float(ranked_probability(target, far[None])[0]) > float(ranked_probability(target, near[None])[0])


def test_class_weights_average_one_and_are_higher_for_rare_labels() -> None:
    from trainer.network.losses import class_weights

    assert (class_weights(FitSettings(), TARGETS, 3) == 1).all()
    weights = class_weights(FitSettings(imbalance="weights"), TARGETS, 3)
    assert weights[TARGETS].mean() == pytest.approx(1.0)
    assert weights[2] / weights[0] == pytest.approx(7**0.5, rel=1e-5)


def test_resampling_keeps_every_row_and_repeats_rare_ones() -> None:
    from trainer.network.losses import drawn_rows

    random = np.random.default_rng(0)
    assert (drawn_rows(FitSettings(), TARGETS, random) == np.arange(100)).all()
    drawn = drawn_rows(FitSettings(imbalance="resample"), TARGETS, random)
    assert set(drawn.tolist()) == set(range(100))
    assert np.bincount(TARGETS[drawn]).tolist() == [70, round((20 * 70) ** 0.5), round((10 * 70) ** 0.5)]
