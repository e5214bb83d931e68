"""How much is learned, how fast, and from which part of a long text."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.network.fit import LAST_SHARE, Examples, Plan, WarmCosine, plan
from trainer.settings import FitSettings


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (240, Plan(epochs=12, batch_rows=16, steps=180)),
        (1200, Plan(epochs=12, batch_rows=40, steps=360)),
        (14_500, Plan(epochs=4, batch_rows=128, steps=456)),
        (1_000_000, Plan(epochs=4, batch_rows=128, steps=31_252)),
    ],
)
def test_small_sets_get_smaller_steps_and_more_passes(rows: int, expected: Plan) -> None:
    assert plan(FitSettings(), rows) == expected


def test_settings_overrule_the_plan() -> None:
    assert plan(FitSettings(epochs=2, batch_rows=10), 101) == Plan(2, 10, 22)


def test_step_size_climbs_then_falls_to_its_last_share() -> None:
    schedule = WarmCosine(0.003, 200)
    sizes = np.array([float(schedule(step)) for step in range(260)])
    assert sizes[0] == 0
    assert sizes.argmax() in range(18, 22)
    assert 0.0028 < sizes.max() <= 0.003
    assert (np.diff(sizes[20:]) <= 1e-9).all()
    assert sizes[200:] == pytest.approx(0.003 * LAST_SHARE)


def test_long_texts_keep_head_and_tail_and_short_ones_stay() -> None:
    rows = [np.arange(1, 11, dtype=np.int32), np.array([7], dtype=np.int32)]
    found = Examples(rows, np.array([0, 1])).cut(5)
    assert [row.tolist() for row in found.rows] == [[1, 2, 3, 9, 10], [7]]
    assert [row.tolist() for row in Examples(rows, np.array([0, 1])).cut(10).rows] == [row.tolist() for row in rows]
