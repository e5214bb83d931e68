from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from schemas.decision import Decision, MismatchRule, tails, zero_one_costs

LABELS = [1, 2, 3, 4, 5]
DISTANCE = [[float(abs(true - said)) for said in range(5)] for true in range(5)]
_logits = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 30), st.just(5)), elements=st.floats(-50, 50, width=32, allow_nan=False)
)


def _decision(**more: object) -> Decision:
    return Decision.model_validate({"labels": LABELS, "costs": zero_one_costs(5), **more})


@given(logits=_logits, temperature=st.floats(0.1, 10))
def test_probabilities_sum_to_one_and_keep_the_order(logits: np.ndarray, temperature: float) -> None:
    before = logits.copy()
    shares = _decision(temperature=temperature).probabilities(logits)
    assert (logits == before).all(), "the caller's logits are not touched"
    assert shares.dtype == np.float32
    assert shares.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (np.take_along_axis(shares, logits.argmax(axis=1)[:, None], 1)[:, 0] == shares.max(axis=1)).all()


def test_temperature_softens() -> None:
    logits = np.array([[2.0, 0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    hot, cold = (_decision(temperature=degree).probabilities(logits).max() for degree in (2.0, 0.5))
    assert hot < _decision().probabilities(logits).max() < cold
    exact = np.exp(1.0) / (np.exp(1.0) + 4)
    assert hot == pytest.approx(exact, rel=1e-6)


@given(logits=_logits)
def test_zero_one_costs_give_the_likeliest_and_distance_costs_the_median(logits: np.ndarray) -> None:
    decision = _decision()
    shares = decision.probabilities(logits)
    expected = decision.choices(shares)
    assert (np.take_along_axis(shares, expected[:, None], 1)[:, 0] >= shares.max(axis=1) - 1e-6).all()
    median = _decision(costs=DISTANCE).choices(shares)
    below = shares.cumsum(axis=1) - shares
    rows = np.arange(len(shares))
    assert (below[rows, median] <= 0.5 + 1e-5).all()
    assert (below[rows, median] + shares[rows, median] >= 0.5 - 1e-5).all()


def test_expected_rating_is_the_mean_label() -> None:
    shares = np.array([[0.5, 0, 0, 0, 0.5], [0, 0, 0, 1, 0]], dtype=np.float32)
    assert _decision().expected_ratings(shares).tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": [1, 2, 3, 5, 4]}, "ascending and distinct"),
        ({"labels": [1, 2, 3, 4, 4]}, "ascending and distinct"),
        ({"labels": [1, 2, 3, 4]}, "must be 4 x 4"),
        ({"costs": zero_one_costs(4)}, "must be 5 x 5"),
        ({"costs": [*zero_one_costs(5)[:4], [0.0]]}, "must be 5 x 5"),
        ({"temperature": 0}, "greater than 0"),
        ({"labels": [1], "costs": [[0]]}, "at least 2"),
        ({"bias": 1}, "Extra inputs"),
    ],
)
def test_invalid_labels_and_costs_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _decision(**change)


def test_stars_in_the_tail_contradict_and_rare_stars_next_to_likely_ones_do_not() -> None:
    rule = MismatchRule(false_alarm_rate=0.01, threshold=0.04, held_out_share=0.01)
    angry = np.array([[0.9, 0.02, 0.03, 0.02, 0.03]] * 5, dtype=np.float32)
    assert tails(angry, np.arange(5)) == pytest.approx([0.9, 0.1, 0.08, 0.05, 0.03])
    assert rule.contradicts(angry, np.arange(5)).tolist() == [False, False, False, False, True]
    happy = angry[:, ::-1].copy()
    assert rule.contradicts(happy, np.arange(5)).tolist() == [True, False, False, False, False]
    assert not MismatchRule(false_alarm_rate=0.01, threshold=0, held_out_share=0).contradicts(happy, np.arange(5)).any()


@given(logits=_logits, data=st.data())
def test_a_tail_is_the_smaller_sum_and_at_most_the_whole(logits: np.ndarray, data: st.DataObject) -> None:
    shares = _decision().probabilities(logits)
    stars = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(logits), max_size=len(logits))))
    expected = [min(row[: at + 1].sum(), row[at:].sum()) for row, at in zip(shares, stars.tolist(), strict=True)]
    assert tails(shares, stars) == pytest.approx(expected, abs=1e-5)


def test_a_label_with_far_less_belief_than_the_likeliest_is_never_chosen() -> None:
    costs = [[0, 0.1, 0.1], [1, 0, 1], [1, 1, 0]]
    free = Decision(labels=[1, 2, 3], costs=costs)
    limited = free.model_copy(update={"least_belief": 0.5})
    shares = np.array([[0.6, 0.29, 0.11], [0.5, 0.26, 0.24]], dtype=np.float32)
    assert free.choices(shares).tolist() == [1, 1]
    assert limited.choices(shares).tolist() == [0, 1]


def test_beliefs_shrink_towards_the_prior_with_the_share_of_unknown_words() -> None:
    prior = [0.25, 0.25, 0.5]
    decision = Decision(labels=[1, 2, 3], costs=zero_one_costs(3), prior=prior, unknown_power=2.0)
    own = np.tile(np.array([0.9, 0.05, 0.05], dtype=np.float32), (3, 1))
    found = decision.shrunk(own, np.array([0, 0.5, 1], dtype=np.float32))
    assert found[0] == pytest.approx(own[0])
    assert found[1] == pytest.approx(0.25 * own[0] + 0.75 * np.array(prior))
    assert found[2] == pytest.approx(prior)


def test_a_text_without_a_known_word_gets_the_prior_whatever_the_power() -> None:
    decision = Decision(labels=[1, 2], costs=zero_one_costs(2), prior=[0.7, 0.3], unknown_power=0.0)
    own, unknown = np.array([[0.1, 0.9]], dtype=np.float32), np.ones(1, dtype=np.float32)
    assert decision.shrunk(own, unknown)[0] == pytest.approx([0.7, 0.3])


def test_an_older_bundle_does_not_shrink() -> None:
    own, unknown = np.array([[0.1, 0.9]], dtype=np.float32), np.ones(1, dtype=np.float32)
    older = Decision.model_validate({"labels": [1, 2], "temperature": 1.0, "costs": zero_one_costs(2)})
    assert (older.shrunk(own, unknown) == own).all()


def test_a_prior_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="prior: 3 probabilities for 2 labels"):
        Decision(labels=[1, 2], costs=zero_one_costs(2), prior=[0.5, 0.2, 0.3])
