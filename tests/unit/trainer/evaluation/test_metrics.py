from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.scikit import metrics
from trainer.evaluation.metrics import (
    calibration_error,
    calibration_noise,
    class_figures,
    confusion,
    figures,
    negative_log_likelihood,
    reliability,
)

_pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=200)
LABELS = [1, 2, 3, 4, 5]


@given(pairs=_pairs)
def test_figures_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    targets, choices = (np.array(side, dtype=np.intp) for side in zip(*pairs, strict=True))
    found = figures(targets, choices, LABELS)
    assert found["accuracy"] == pytest.approx(metrics().accuracy_score(targets, choices))
    assert found["mae"] == pytest.approx(metrics().mean_absolute_error(targets, choices))
    expected = metrics().f1_score(targets, choices, labels=range(5), average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["within_one"] == pytest.approx((abs(targets - choices) <= 1).mean())
    if len(set(targets) | set(choices)) > 1:
        expected = metrics().cohen_kappa_score(targets, choices, labels=range(5), weights="quadratic")
        assert found["qwk"] == pytest.approx(expected)
    else:
        assert found["qwk"] == 0.0


@given(pairs=_pairs)
def test_class_figures_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    targets, choices = (np.array(side, dtype=np.intp) for side in zip(*pairs, strict=True))
    table = confusion(targets, choices, 5)
    assert (table == metrics().confusion_matrix(targets, choices, labels=range(5))).all()
    expected = metrics().precision_recall_fscore_support(targets, choices, labels=range(5), zero_division=0)
    found = class_figures(table, LABELS)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(label, name) for label in found] == pytest.approx(list(values))
    assert [label.label for label in found] == LABELS


def test_mae_is_in_the_unit_of_the_labels() -> None:
    said = figures(np.array([0, 1]), np.array([1, 1]), [10, 30])
    assert said["mae"] == 10.0
    assert said["within_one"] == 0.5


def test_nll_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), 300).astype(np.float32)
    targets = random.integers(0, 5, 300)
    exact = probabilities.astype(np.float64)
    expected = metrics().log_loss(targets, exact / exact.sum(axis=1, keepdims=True), labels=range(5))
    assert negative_log_likelihood(probabilities, targets) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], dtype=np.float32)
    targets = np.array([0, 1, 1, 1])
    choices = np.array([0, 0, 1, 1])
    # said 0.9 and right half the time; said 0.6 and right each time
    assert calibration_error(probabilities, choices, targets) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@given(confidences=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=100))
def test_reliability_bins_cover_every_row(confidences: list[float]) -> None:
    found = reliability(np.array(confidences, dtype=np.float32), np.ones(len(confidences), dtype=np.bool_))
    assert sum(share for _, _, share in found) == pytest.approx(1.0)


def test_calibration_noise_shrinks_with_more_texts() -> None:
    confidences = np.random.default_rng(1).uniform(0.3, 1.0, 40_000).astype(np.float32)
    few, many = calibration_noise(confidences[:400]), calibration_noise(confidences, draws=20)
    assert few == calibration_noise(confidences[:400])
    assert 0.04 < few < 0.08
    assert many == pytest.approx(few / 10, rel=0.3)
