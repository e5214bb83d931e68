from __future__ import annotations

import numpy as np

from schemas.decision import Decision, zero_one_costs
from tests.unit.trainer.evaluation.test_doubts import LABELS, evaluation
from trainer.evaluation.groups import FEWEST, MOST, OTHERS, figures_by_group, scripts_of, shown

DECISION = Decision(labels=LABELS, costs=zero_one_costs(3))


def test_each_group_has_the_figures_of_its_own_texts() -> None:
    found = figures_by_group(evaluation([0, 1] * 100, [0, 1] * 50 + [0, 0] * 50), ["a"] * 100 + ["b"] * 100, DECISION)
    assert {name: (count, figures["accuracy"]) for name, (count, figures) in found.items()} == {
        "a": (100, 1.0),
        "b": (100, 0.5),
    }


def test_small_groups_are_counted_as_one() -> None:
    groups = ["a"] * 100 + [f"small {number}" for number in range(FEWEST)]
    found = figures_by_group(evaluation([0] * len(groups), [0] * len(groups)), groups, DECISION)
    assert {name: count for name, (count, _) in found.items()} == {"a": 100, OTHERS: FEWEST}


def test_one_group_and_no_groups_have_no_table() -> None:
    both = evaluation([0] * 60, [0] * 60)
    assert figures_by_group(both, ["a"] * 60, DECISION) == {}
    assert figures_by_group(both, [], DECISION) == {}


def test_the_worst_groups_are_shown_first() -> None:
    groups = np.repeat([f"app {number}" for number in range(MOST + 2)], 100)
    right = np.tile(np.arange(100), MOST + 2) < np.repeat(np.arange(MOST + 2) * 10, 100)
    found = shown(figures_by_group(evaluation([0] * len(groups), (1 - right).tolist()), groups.tolist(), DECISION))
    assert [*found] == [f"app {number} (100)" for number in range(MOST)]


def test_a_text_is_of_the_script_that_most_of_its_letters_are_in() -> None:
    cyrillic = "\u043e\u0447\u0435\u043d\u044c \u0445\u043e\u0440\u043e\u0448\u043e"
    found = scripts_of(["great app", f"app {cyrillic}", "\u5f88\u597d", "5/5 \U0001f44d!!"])
    assert found == ["Latin script", "Cyrillic script", "Cjk script", "no letters"]
