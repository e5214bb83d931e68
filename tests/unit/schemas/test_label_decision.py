"""The rules of a label model: sigmoid, thresholds, the confidence in a set, and what a manifest says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from schemas.bundle import BundleError, parse_manifest, read_bundle
from schemas.label_decision import LabelDecision
from schemas.manifest import Manifest
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.bundles import NAMES, SECOND, Change, add_toy
from trainer.export.runtime import open_interpreter

_logits = hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-60, 60, width=32))


def decision(**more: Any) -> LabelDecision:
    return LabelDecision.model_validate({"labels": ["joy", "fear", "love"], "thresholds": [0.5, 0.2, 0.9], **more})


@given(logits=_logits, temperature=st.floats(0.1, 10))
def test_each_probability_is_the_sigmoid_of_its_own_logit(logits: np.ndarray, temperature: float) -> None:
    before = logits.copy()
    shares = decision(temperature=temperature).probabilities(logits)
    assert (logits == before).all(), "the caller's logits are not touched"
    assert shares.dtype == np.float32
    exact = 1 / (1 + np.exp(-logits.astype(np.float64) / temperature))
    assert shares == pytest.approx(exact, abs=1e-5)


def test_a_text_gets_each_label_that_reaches_its_threshold_or_none() -> None:
    shares = np.array([[0.5, 0.2, 0.89], [0.1, 0.1, 0.95], [0.49, 0.19, 0.8]], dtype=np.float32)
    rule = decision()
    assert rule.choices(shares).tolist() == [[True, True, False], [False, False, True], [False, False, False]]
    assert rule.named(shares, rule.choices(shares)) == [{"joy": 0.5, "fear": 0.2}, {"love": 0.95}, {}]
    assert rule.counts(rule.choices(shares)).tolist() == [1, 1, 1, 1], "the last is of texts without a label"


def test_confidence_is_the_probability_of_the_whole_set() -> None:
    shares = np.array([[0.5, 0.2, 0.9]], dtype=np.float32)
    rule = decision()
    assert rule.confidences(shares, rule.choices(shares)) == pytest.approx([0.5 * 0.2 * 0.9], rel=1e-5)
    assert decision(dependence=0.5).confidences(shares, rule.choices(shares)) == pytest.approx([0.09**0.5], rel=1e-5)
    certain = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    assert rule.confidences(certain, rule.choices(certain)) == pytest.approx([1.0], rel=1e-5)


def test_a_change_counts_where_a_label_crosses_its_threshold_by_more_than_a_tie() -> None:
    before = np.array([[0.6, 0.1, 0.1], [0.5004, 0.1, 0.1], [0.6, 0.1, 0.1]], dtype=np.float32)
    after = np.array([[0.4, 0.1, 0.1], [0.4996, 0.1, 0.1], [0.9, 0.1, 0.1]], dtype=np.float32)
    assert decision().changed(before, after, 1e-3).tolist() == [True, False, False]


def test_an_explanation_is_about_the_likeliest_label_given_else_the_likeliest() -> None:
    shares = np.array([0.4, 0.3, 0.6], dtype=np.float32)
    rule = decision()
    assert rule.aim(shares, rule.choices(shares[None])[0]) == 1, "fear is given, love is not"
    assert rule.aim(shares, np.zeros(3, dtype=np.bool_)) == 2


@given(marks=hnp.arrays(np.bool_, st.tuples(st.integers(1, 10), st.just(3))))
def test_choices_read_back_from_ratings(marks: np.ndarray) -> None:
    rule = decision()
    named = rule.named(np.full(marks.shape, 0.5, dtype=np.float32), marks)
    assert (rule.choices_of(rule.stars_of(marks), named) == marks).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["joy", "joy", "love"]}, "distinct"),
        ({"thresholds": [0.5]}, "must be 3, one a label"),
        ({"thresholds": [0.5, 0.5, 1.0]}, "less than 1"),
        ({"labels": ["joy", "a|b", "love"]}, "String should match"),
        ({"labels": ["joy", "a:b", "love"]}, "String should match"),
        ({"labels": ["joy", "", "love"]}, "String should match"),
    ],
)
def test_wrong_rules_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        decision(**change)


def test_a_label_bundle_says_its_task_and_an_older_worker_is_told_to_upgrade(tmp_path: Path) -> None:
    """Such a worker reads `schema_version` before anything else, and compares it with 1."""
    folder = add_toy(tmp_path, SECOND, Change(names=NAMES))
    raw = json.loads((folder / "manifest.json").read_bytes())
    assert (raw["schema_version"], raw["task"], raw["decision"]["labels"]) == (2, "labels", [*NAMES])
    bundle = read_bundle(folder)
    scores = bundle.load(open_interpreter).score(["bad but good", "ok", "something else"])
    named = bundle.manifest.decision.named(scores.probabilities, scores.choices)
    assert [set(labels or {}) for labels in named] == [{"anger", "joy"}, set(), set()]
    raw["schema_version"] = 1
    with pytest.raises(BundleError, match="task: labels needs a decision of labels, and schema_version 2"):
        parse_manifest(json.dumps(raw).encode())


def test_a_bundle_of_stars_is_written_as_ever_and_older_ones_are_read() -> None:
    found = read_bundle(TOY_REGISTRY / TOY_VERSION).manifest
    assert found.task == "stars"
    written = json.loads(found.model_dump_json())
    assert "task" not in written
    assert written["schema_version"] == 1
    assert Manifest.model_validate(written) == found
