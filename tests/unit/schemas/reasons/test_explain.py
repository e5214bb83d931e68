"""What words do to a rating, on the toy bundle: `good` says five stars, `bad` one, other words three, faintly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from schemas.bundle import read_bundle
from schemas.inference import Model
from schemas.reasons.explain import Explanation, explain, leave_out, strongest
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from worker.model.runtime import load_runtime


@pytest.fixture(scope="module")
def model() -> Model:
    return read_bundle(TOY_REGISTRY / TOY_VERSION).load(load_runtime()[1])


def effects(found: Explanation) -> dict[str, float]:
    return {token.folded: float(effect) for token, effect in zip(found.read, found.effects, strict=True)}


def test_an_effect_is_the_rating_less_the_rating_without_the_word(model: Model) -> None:
    found = explain(model, None, "Good app, but bad and terrible")
    expected = model.score(["good app, but bad and terrible", "good app, but and terrible"]).expected
    assert expected is not None
    assert effects(found)["bad"] == pytest.approx(float(expected[0] - expected[1]), abs=1e-6)
    assert effects(found)["bad"] < -0.2 < 0.2 < effects(found)["good"]
    assert found.strongest(3) == ["bad", "terrible"], "only they support one star"


def test_the_words_of_many_texts_are_rated_in_one_call_as_one_by_one(model: Model) -> None:
    texts = ["bad", "good app", "x " * 70, "love it but it is the worst"]
    rows = model.encoder.encode_all(texts)
    scores = model.score_ids(rows)
    for text, (effect, support) in zip(texts, leave_out(model, rows, scores), strict=True):
        alone = explain(model, None, text)
        assert effect == pytest.approx(alone.effects, abs=1e-5)
        assert support == pytest.approx(alone.support, abs=1e-5)
        assert len(effect) == len(alone.read)


def test_the_only_word_is_compared_with_an_unknown_one(model: Model) -> None:
    found = explain(model, None, "good")
    assert effects(found)["good"] > 1
    assert effects(explain(model, None, "abracadabra")) == {"abracadabra": 0.0}


def test_a_text_without_a_token_is_explained_by_nothing(model: Model) -> None:
    found = explain(model, None, "<b></b>")
    assert (found.tokens, found.strongest(3), len(found.effects)) == ([], [], 0)
    assert found.to_fields() == {"tokens": 0, "unknown": 0, "words": []}


def test_the_json_has_each_word_with_its_place_in_the_text(model: Model) -> None:
    fields = json.loads(json.dumps(explain(model, None, "GOOD 😡 app").to_fields()))
    assert (fields["tokens"], fields["unknown"]) == (3, 1)
    assert [(word["text"], word["start"], word["end"]) for word in fields["words"]] == [
        ("GOOD", 0, 4), ("😡", 5, 6), ("app", 7, 10),
    ]  # fmt: skip
    assert fields["words"][0]["effect"] > fields["words"][2]["effect"]
    assert "pairs" not in fields, "the toy has no linear part"


def test_marks_that_say_nothing_are_no_reason_and_a_word_is_one_once() -> None:
    words = [",", "bad", "!!", "bad", "\\", "😡", "it", "ok"]
    support = np.array([9, 3, 2, 4, 8, 1, 0, -1], dtype=np.float32)
    assert strongest(words, support, 9) == ["bad", "!!", "😡"]
    assert strongest(words, support, 2) == ["bad", "!!"]
