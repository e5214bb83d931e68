"""The groups of the report's charts; tests/model has the page of a real run."""

from __future__ import annotations

import numpy as np

from trainer.publish.charts import Group
from trainer.publish.report import LENGTH_EDGES, UNKNOWN_EDGES, grouped


def test_groups_include_their_upper_edge() -> None:
    values = np.array([1.0, 3.0, 4.0, 6.0, 7.0, 500.0])
    right = np.array([True, False, True, True, False, False])
    away = np.array([0.0, 2.0, 0.0, 0.0, 1.0, 4.0])
    assert grouped(values, LENGTH_EDGES, right, away) == [
        Group("1\N{EN DASH}3", 2, 0.5, 1.0),
        Group("4\N{EN DASH}6", 2, 1.0, 0.0),
        Group("7\N{EN DASH}12", 1, 0.0, 1.0),
        Group("> 200", 1, 0.0, 4.0),
    ]


def test_groups_of_shares_separate_zero() -> None:
    values = np.array([0.0, 0.0, 0.01, 0.4, 1.0])
    found = grouped(values, UNKNOWN_EDGES, np.ones(5, dtype=bool), np.zeros(5))
    assert [(group.name, group.texts) for group in found] == [
        ("0%", 2),
        ("0%\N{EN DASH}5%", 1),
        ("20%\N{EN DASH}40%", 1),
        ("> 40%", 1),
    ]
