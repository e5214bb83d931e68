"""What `get` and `explain` say of a decision."""

from __future__ import annotations

import pytest

from schemas.prediction import Prediction
from worker.commands.get import decided


@pytest.mark.parametrize(
    ("probabilities", "rating", "said"),
    [
        ([0.35, 0.08, 0.12, 0.14, 0.31], 3, "1 is the likeliest; 3 has the least expected cost (README.md)"),
        ([0.01, 0.01, 0.02, 0.06, 0.9], 5, None),
        ([0.3, 0.7], 1, None),
    ],
)
def test_stars_that_are_not_the_likeliest_are_explained(
    probabilities: list[float], rating: int, said: str | None
) -> None:
    prediction = Prediction(
        rating=rating,
        expected_rating=3.0,
        confidence=probabilities[rating - 1] if len(probabilities) == 5 else 0.3,
        uncertain=False,
        probabilities=probabilities,
        model_version="v",
    )
    lines = [value for name, value in decided(prediction, "12% sure") if not name]
    assert lines == ([said] if said else [])
