"""The wide part's tables give the logits of scikit-learn, and no index can overflow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.scikit import linear_model
from trainer.network.wide import (
    ADDED,
    SMALLEST,
    STRENGTH,
    STRENGTH_OF_TWO,
    fit_wide,
    hash_tables,
    hashed_pairs,
    pairs_for,
)
from trainer.settings import ModelSettings

SIZE, BUCKETS = 60, 64
SETTINGS = ModelSettings(wide_pairs=BUCKETS)


def _texts(classes: int, rows: int = 200) -> tuple[list[npt.NDArray[np.int32]], npt.NDArray[np.intp]]:
    random = np.random.default_rng(classes)
    targets = random.integers(0, classes, rows)
    own = [random.integers(1, SIZE, 12) for _ in range(classes)]
    return [
        np.concatenate([random.choice(own[t], 3), random.integers(1, SIZE, random.integers(1, 30))]).astype(np.int32)
        for t in targets
    ], targets


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_tables_equal_decision_function(classes: int) -> None:
    """Counts and weights rebuilt by hand, and scikit-learn's own regression on them."""
    rows, targets = _texts(classes)
    wide = fit_wide(rows, targets, SIZE, classes, SETTINGS)
    counts = np.zeros((len(rows), SIZE + BUCKETS))
    for number, row in enumerate(rows):
        np.add.at(counts[number], row, 1)
        np.add.at(counts[number], SIZE + hashed_pairs(row, wide.first, wide.second, BUCKETS), 1)
    weights = np.sqrt(np.concatenate([wide.word_norms, wide.pair_norms[:-1]]).astype(np.float64))
    if classes == 2:  # log count ratios of naive Bayes have a sign, which the norms lose
        present = (counts > 0).astype(np.float64)
        against, favour = (present[targets == label].sum(axis=0) + ADDED for label in (0, 1))
        ratios = np.log((favour / favour.sum()) / (against / against.sum()))
        assert np.abs(ratios)[1:] == pytest.approx(weights[1:], abs=1e-5)
        weights = ratios
    features = counts * weights / np.sqrt(counts @ weights**2 + SMALLEST)[:, None]
    strength = STRENGTH_OF_TWO if classes == 2 else STRENGTH
    expected = (
        linear_model().LogisticRegression(C=strength, max_iter=1000).fit(features, targets).decision_function(features)
    )
    if classes == 2:
        expected = np.stack([-expected, expected], axis=1) / 2
    found = wide.logits(rows)
    assert np.abs(found - expected).max() < 0.02, "the regressions stop at slightly different points"
    assert np.ptp(expected, axis=0).min() > 0.5, "logits that hardly differ would prove nothing"
    assert (found.argmax(axis=1) == targets).mean() > 0.8


def test_padding_has_no_weight() -> None:
    for classes in (2, 5):
        wide = fit_wide(*_texts(classes), SIZE, classes, SETTINGS)
        assert not wide.words[0].any()
        assert not wide.pairs[-1].any()
        assert wide.word_norms[0] == wide.pair_norms[-1] == 0


def test_scaled_logits_are_multiplied() -> None:
    rows, targets = _texts(5)
    wide = fit_wide(rows, targets, SIZE, 5, SETTINGS)
    assert wide.scaled(0.25).logits(rows) == pytest.approx(wide.logits(rows) * 0.25, abs=1e-5)


@given(
    row=st.lists(st.integers(1, 99_999), min_size=1, max_size=20),
    buckets=st.sampled_from([2, 1000, 2**16, 2**22]),
)
def test_buckets_are_in_range_and_never_overflow(row: list[int], buckets: int) -> None:
    first, second = hash_tables(100_000, buckets)
    ids = np.array(row, dtype=np.int32)
    found = hashed_pairs(ids, first, second, buckets)
    exact = [(int(first[before]) + int(second[now])) % buckets for before, now in zip([0, *row[:-1]], row, strict=True)]
    assert found.tolist() == exact


def test_pairs_spread_over_the_buckets() -> None:
    buckets = 2**16
    first, second = hash_tables(5000, buckets)
    ids = np.random.default_rng(0).integers(1, 5000, 60_000, dtype=np.int32)
    distinct = len(set(hashed_pairs(ids, first, second, buckets).tolist()))
    expected = buckets * (1 - np.exp(-60_000 / buckets))
    assert distinct == pytest.approx(expected, rel=0.02)


def test_buckets_grow_with_the_text_within_bounds() -> None:
    assert pairs_for(0) == pairs_for(190_000) == 2**16
    assert pairs_for(1_200_000) == 2**17
    assert pairs_for(6_000_000) == pairs_for(10**9) == 2**19
