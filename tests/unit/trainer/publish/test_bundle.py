from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from schemas.decision import Decision, zero_one_costs
from schemas.encoding import EncoderSettings
from schemas.inference import Scores
from trainer.publish.bundle import CONFIDENCE_EDGES, content_hash, drift_baseline, version_name

FILES = {"model.tflite": b"model", "encoder.tsv": b"good\t2\n", "report.html": b"one", "manifest.json": b"x"}
DECISION = Decision(labels=[1, 2], costs=zero_one_costs(2))
ENCODER = EncoderSettings()


def test_hash_covers_what_determines_a_rating_and_nothing_else() -> None:
    first = content_hash(FILES, ENCODER, DECISION)
    assert content_hash({**FILES, "report.html": b"two", "manifest.json": b"y"}, ENCODER, DECISION) == first
    others = [
        content_hash({**FILES, "model.tflite": b"other"}, ENCODER, DECISION),
        content_hash({**FILES, "encoder.tsv": b"bad\t2\n"}, ENCODER, DECISION),
        content_hash(FILES, EncoderSettings(squeeze=False), DECISION),
        content_hash(FILES, ENCODER, Decision(labels=[0, 1], costs=zero_one_costs(2))),
        content_hash(FILES, ENCODER, Decision(labels=[1, 2], temperature=1.5, costs=zero_one_costs(2))),
        content_hash(FILES, ENCODER, Decision(labels=[1, 2], costs=[[0, 2], [1, 0]])),
    ]
    assert len({first, *others}) == 7


def test_version_is_utc_time_and_hash() -> None:
    there = datetime(2026, 5, 4, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert version_name(there, "0a1b2c3d") == "20260503T230203Z-0a1b2c3d"
    assert version_name(datetime(2026, 5, 4, tzinfo=UTC), "0a1b2c3d") > version_name(there, "ffffffff")


def test_drift_baseline_counts_each_review_once() -> None:
    scores = Scores(
        probabilities=np.array([[0.95, 0.05], [0.3, 0.7], [0.5, 0.5]], dtype=np.float32),
        choices=np.array([0, 1, 0]),
        expected=np.zeros(3, dtype=np.float32),
        unknown_shares=np.zeros(3, dtype=np.float32),
        known_words=np.ones(3, dtype=np.int64),
        tokens=10,
        unknown=3,
        cells=10,
        confidences=np.array([0.95, 0.7, 0.5], dtype=np.float32),
    )
    decision = Decision(labels=[0, 1], costs=zero_one_costs(2))
    found = drift_baseline(scores, np.array([2, 3, 500]), decision, ["good", "плохо", "gut"])
    assert found.rating_shares == pytest.approx([2 / 3, 1 / 3], abs=1e-6)
    assert sum(found.confidence_shares) == pytest.approx(1, abs=1e-5)
    assert len(found.confidence_shares) == len(CONFIDENCE_EDGES) + 1
    assert found.confidence_shares[-1] == pytest.approx(1 / 3, abs=1e-6)
    assert found.length_shares[0] == found.length_shares[1] == found.length_shares[-1] == pytest.approx(1 / 3, abs=1e-6)
    assert found.unknown_ratio == pytest.approx(0.3)
    assert found.script_shares["latin"] == pytest.approx(2 / 3, abs=1e-6)
    assert found.script_shares["cyrillic"] == pytest.approx(1 / 3, abs=1e-6)
