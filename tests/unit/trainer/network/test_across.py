from __future__ import annotations

import numpy as np

from schemas.decision import Decision, zero_one_costs
from trainer.network.across import FOLDS, folds_of, leave_groups_out
from trainer.settings import ModelSettings

LABELS = [1, 5]
SETTINGS = ModelSettings(wide_pairs=64)


def test_whole_groups_are_in_one_fold_and_folds_are_of_like_size() -> None:
    groups = [f"app {number}" for number in range(40) for _ in range(number + 1)]
    folds = folds_of(groups)
    assert folds is not None
    assert all(len({*folds[np.array(groups) == name].tolist()}) == 1 for name in set(groups))
    assert np.bincount(folds, minlength=FOLDS).min() > 0.15 * len(groups)


def test_one_group_or_nearly_one_cannot_be_left_out() -> None:
    assert folds_of(["maps"] * 100) is None
    assert folds_of([]) is None
    assert folds_of(["maps"] * 95 + ["bank"] * 5) is None


def test_no_text_is_scored_by_what_its_own_group_taught() -> None:
    """Each app has a word of its own that tells its labels: only a model that saw the app could use it."""
    random = np.random.default_rng(0)
    groups = [f"app {number}" for number in range(4) for _ in range(200)]
    targets = random.integers(0, 2, 800)
    own = np.array([2 + 2 * int(name[-1]) + target for name, target in zip(groups, targets, strict=True)])
    rows = [np.array([word, 20 + random.integers(0, 5)], dtype=np.int32) for word in own]
    found = leave_groups_out(rows, targets, groups, 40, LABELS, SETTINGS)
    assert found is not None
    assert abs((found.probabilities.argmax(axis=1) == targets).mean() - 0.5) < 0.2
    shared = [np.array([30 + target, word], dtype=np.int32) for target, word in zip(targets, own, strict=True)]
    learned = leave_groups_out(shared, targets, groups, 40, LABELS, SETTINGS)
    assert learned is not None
    assert (learned.probabilities.argmax(axis=1) == targets).mean() > 0.95
    figures = learned.figures(Decision(labels=LABELS, costs=zero_one_costs(2)))
    assert {name: count for name, (count, _) in figures.items()} == dict.fromkeys(dict.fromkeys(groups), 200)
    assert all(found["accuracy"] > 0.95 for _, found in figures.values())


def test_a_label_of_one_group_alone_leaves_nothing_to_choose_by() -> None:
    groups = ["maps"] * 50 + ["bank"] * 50
    targets = np.array([0] * 50 + [0, 1] * 25)
    rows = [np.array([2], dtype=np.int32)] * 100
    assert leave_groups_out(rows, targets, groups, 5, LABELS, SETTINGS) is None
