from __future__ import annotations

import json
from typing import Any

import numpy as np

from schemas.decision import Decision, zero_one_costs
from schemas.inference import Scores
from schemas.prediction import PREDICTION, PREDICTION_FIELDS, REMARKS, Prediction, prediction_values


def predicted(known: list[int], unknown_shares: list[float], min_confidence: float) -> list[Prediction]:
    rows = len(known)
    scores = Scores(
        probabilities=np.tile(np.array([0.2, 0.8], dtype=np.float32), (rows, 1)),
        choices=np.ones(rows, dtype=np.intp),
        expected=np.full(rows, 1.8, dtype=np.float32),
        unknown_shares=np.array(unknown_shares, dtype=np.float32),
        known_words=np.array(known, dtype=np.int64),
        tokens=rows,
        unknown=0,
        cells=rows,
        confidences=np.full(rows, 0.8, dtype=np.float32),
    )
    decision = Decision(labels=[1, 2], costs=zero_one_costs(2))
    return [Prediction(*values) for values in prediction_values(scores, decision, "v", min_confidence)]


def test_no_text_without_a_known_word_is_ever_certain() -> None:
    found = predicted([3, 0, 0], [0.25, 1.0, 0.0], 0.0)
    assert [one.uncertain for one in found] == [False, True, True]
    assert [one.unknown_share for one in found] == [0.25, 1.0, 0.0]


def test_confidence_under_the_limit_is_uncertain() -> None:
    assert [one.uncertain for one in predicted([1], [0.0], 0.81)] == [True]
    assert [one.uncertain for one in predicted([1], [0.0], 0.8)] == [False]


def test_a_line_of_an_older_predict_is_read() -> None:
    (new,) = predicted([1], [0.5], 0.0)
    fields: dict[str, Any] = {name: value for name, value in new.to_fields().items() if name != "unknown_share"}
    assert set(PREDICTION_FIELDS) - fields.keys() == {"labels", "unknown_share", *REMARKS}
    assert PREDICTION.validate_json(json.dumps(fields)).unknown_share is None
