"""Figures of a label model are scikit-learn's, and its thresholds are the best on what they were fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.inference import Scores
from schemas.label_decision import LabelDecision
from tests.fixtures.scikit import metrics
from trainer.evaluation.label_metrics import average_precision, choice_figures, label_likelihood
from trainer.evaluation.metrics import evaluation_of
from trainer.evaluation.thresholds import OBSERVED, fit_dependence, fit_thresholds

NAMES = ["joy", "fear", "love"]


def drawn(seed: int, texts: int = 300, tied: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return calibrated probabilities and labels drawn from them."""
    random = np.random.default_rng(seed)
    shares = random.beta(0.6, [1.5, 4.0, 12.0], (texts, 3)).astype(np.float32)
    if tied:
        shares = shares.round(1)
    return shares, random.random(shares.shape) < shares


@given(seed=st.integers(0, 10_000), tied=st.booleans())
def test_figures_are_scikit_learns(seed: int, tied: bool) -> None:
    shares, true = drawn(seed, 60, tied)
    chosen = shares >= 0.3
    found, f1 = choice_figures(chosen, true)
    assert f1 == pytest.approx(metrics().f1_score(true, chosen, average=None, zero_division=0))
    assert found["macro_f1"] == pytest.approx(metrics().f1_score(true, chosen, average="macro", zero_division=0))
    assert found["micro_f1"] == pytest.approx(metrics().f1_score(true, chosen, average="micro", zero_division=0))
    assert found["accuracy"] == pytest.approx(metrics().accuracy_score(true, chosen))
    for at in np.flatnonzero(true.any(axis=0)):
        expected = metrics().average_precision_score(true[:, at], shares[:, at])
        assert average_precision(shares[:, at], true[:, at]) == pytest.approx(expected)


def test_weights_count_a_text_several_times() -> None:
    shares, true = drawn(0, 50)
    weights = np.random.default_rng(1).integers(0, 4, 50).astype(np.float64)
    repeated = np.repeat(np.arange(50), weights.astype(int))
    once, f1 = choice_figures(shares[repeated] > 0.3, true[repeated])
    weighted, weighted_f1 = choice_figures(shares > 0.3, true, weights)
    assert weighted == pytest.approx(once)
    assert weighted_f1 == pytest.approx(f1)


def test_likelihood_is_the_sum_over_the_labels() -> None:
    shares, true = drawn(0)
    exact = shares.astype(np.float64)
    expected = sum(metrics().log_loss(true[:, at], exact[:, at], labels=[False, True]) for at in range(3))
    assert label_likelihood(shares, true) == pytest.approx(expected, abs=1e-4)


def test_an_evaluation_has_every_figure_and_each_labels() -> None:
    shares, true = drawn(2)
    rule = LabelDecision(labels=NAMES, thresholds=[0.3] * 3)
    chosen = rule.choices(shares)
    scores = Scores.of(shares, chosen, rule.confidences(shares, chosen))
    found = evaluation_of(scores, true, rule)
    assert (found.task, found.confusion) == ("labels", None)
    assert (found.right == (chosen == true).all(axis=1)).all()
    assert [*found.figures] == ["macro_f1", "micro_f1", "average_precision", "accuracy", "ece", "label_ece", "nll"]
    assert found.figures["label_ece"] < 0.06, "the labels were drawn from the probabilities"
    assert [(label.label, label.support) for label in found.classes] == [*zip(NAMES, true.sum(axis=0), strict=True)]
    area = metrics().average_precision_score(true, shares, average="macro")
    assert found.figures["average_precision"] == pytest.approx(area)


def test_thresholds_are_near_the_best_of_many_texts_and_calm_on_few() -> None:
    shares, true = drawn(3, 40_000)
    fitted = fit_thresholds(shares, true)
    for at, threshold in enumerate(fitted):
        best = max(metrics().f1_score(true[:, at], shares[:, at] >= tried) for tried in np.arange(0.02, 0.9, 0.02))
        assert metrics().f1_score(true[:, at], shares[:, at] >= threshold) > best - 0.005
    few, alone = (
        np.array([fit_thresholds(*drawn(seed, 200), observed=observed) for seed in range(20)])
        for observed in (OBSERVED, 1.0)
    )
    assert few.std(axis=0).mean() < 0.9 * alone.std(axis=0).mean(), "half of the score is the probabilities' own"


def test_a_label_that_no_text_has_gets_a_threshold_all_the_same() -> None:
    shares = np.array([[0.01, 0.5], [0.02, 0.4]], dtype=np.float32)
    true = np.array([[False, True], [False, False]])
    assert all(0 < threshold < 1 for threshold in fit_thresholds(shares, true))


def test_the_confidence_of_labels_that_exclude_each_other_is_fitted() -> None:
    random = np.random.default_rng(4)
    logits = 2 * random.normal(size=(5000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)  # exactly one label a text
    label = (shares.cumsum(axis=1) < random.random((5000, 1))).sum(axis=1).clip(0, 2)
    true = np.eye(3, dtype=np.bool_)[label]
    rule = LabelDecision(labels=NAMES, thresholds=[0.5] * 3)
    chosen = rule.choices(shares.astype(np.float32))
    fitted = rule.model_copy(update={"dependence": fit_dependence(rule, shares.astype(np.float32), true)})
    right = (chosen == true).all(axis=1)
    assert fitted.dependence < 0.9, "independent labels would be right together less often"
    sure, before = (one.confidences(shares.astype(np.float32), chosen).mean() for one in (fitted, rule))
    assert abs(sure - right.mean()) < 0.02 < abs(before - right.mean())
