"""The report's numbers: groups, thresholds, mistakes; the page itself is tested on a real run in tests/model."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.metrics import calibration_noise
from trainer.publish.charts import Group
from trainer.publish.report import LENGTH_EDGES, UNKNOWN_EDGES, grouped


def test_groups_take_their_upper_edge_and_count_every_text_once() -> None:
    values = np.array([1.0, 3.0, 4.0, 6.0, 7.0, 500.0])
    right = np.array([True, False, True, True, False, False])
    away = np.array([0.0, 2.0, 0.0, 0.0, 1.0, 4.0])
    assert grouped(values, LENGTH_EDGES, right, away) == [
        Group("1\N{EN DASH}3", 2, 0.5, 1.0),
        Group("4\N{EN DASH}6", 2, 1.0, 0.0),
        Group("7\N{EN DASH}12", 1, 0.0, 1.0),
        Group("> 200", 1, 0.0, 4.0),
    ]


def test_groups_of_shares_keep_none_apart() -> None:
    values = np.array([0.0, 0.0, 0.01, 0.4, 1.0])
    found = grouped(values, UNKNOWN_EDGES, np.ones(5, dtype=bool), np.zeros(5))
    assert [(group.name, group.texts) for group in found] == [
        ("0%", 2),
        ("0%\N{EN DASH}5%", 1),
        ("20%\N{EN DASH}40%", 1),
        ("> 40%", 1),
    ]


@pytest.mark.parametrize("edges", [LENGTH_EDGES, UNKNOWN_EDGES])
def test_groups_miss_no_text(edges: tuple[float, ...]) -> None:
    values = np.random.default_rng(0).uniform(0, 300, 1000) * (1 if edges is LENGTH_EDGES else 1 / 300)
    found = grouped(values, edges, np.ones(1000, dtype=bool), np.zeros(1000))
    assert sum(group.texts for group in found) == 1000


def test_perfect_confidences_show_an_error_that_more_texts_shrink() -> None:
    confidences = np.random.default_rng(1).uniform(0.3, 1.0, 40_000).astype(np.float32)
    few, many = calibration_noise(confidences[:400]), calibration_noise(confidences, draws=20)
    assert few == calibration_noise(confidences[:400])
    assert 0.04 < few < 0.08
    assert many == pytest.approx(few / 10, rel=0.3)
