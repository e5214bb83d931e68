"""The starter's card shows what the command measures, and what is packed is what was trained."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from deploy.demo.reviews import HAND_WRITTEN, PLAIN_TEXT
from schemas.bundle import MANIFEST_FILE
from schemas.starter import CARD_FILE, read_starter, starter_bundle
from tests.benchmarks.model_quality.cases import DATA
from tests.benchmarks.starter.behaviour import is_taught
from tests.benchmarks.starter.figures import BEGIN, END, Figures, measure, reviews_of, text
from tests.benchmarks.starter.recipe import FILES, SENTENCES, packed
from tests.benchmarks.starter.sentences import sentences, write_sentences
from tests.fixtures.running import data_file
from trainer.evaluation.behaviour import families

CLOSE = 0.005  # processors round differently, and a tie may then go the other way
_NUMBER = re.compile(r"\d\.\d{3}")


@pytest.fixture(scope="module")
def sets() -> None:
    """The data sets are here; else the test is skipped, and fails in CI."""
    for name in FILES:
        data_file(name)


@pytest.fixture(scope="module")
def measured(sets: None) -> Figures:
    """The figures, which take six seconds."""
    del sets
    return measure(starter_bundle())


def test_the_card_shows_what_the_command_prints(measured: Figures) -> None:
    card = CARD_FILE.read_text(encoding="utf-8")
    shown = card.partition(BEGIN)[2].partition(END)[0].strip()
    printed = text(starter_bundle(), measured)
    assert _NUMBER.sub("#", shown) == _NUMBER.sub("#", printed)
    assert [float(number) for number in _NUMBER.findall(shown)] == pytest.approx(
        [float(number) for number in _NUMBER.findall(printed)], abs=CLOSE
    )


def test_what_is_measured_was_held_out_of_its_training(measured: Figures) -> None:
    manifest = starter_bundle().manifest
    found = measured["all three sets"]
    own = manifest.data.rows - sum(len([*reviews_of(DATA / name)]) for name in FILES)
    assert 0 <= manifest.data.test_rows - found["reviews"] <= own, "the rest is our own sentences"


def test_our_own_sentences_are_many_and_the_demo_sends_none_of_them() -> None:
    """Nor four words in a row: what is shown is not what was learned by heart."""
    found = dict(sentences())
    assert len(found) > 1000
    assert {*found.values()} == {1, 2, 3, 4, 5}
    sent = {run for text in (*HAND_WRITTEN.values(), PLAIN_TEXT) for run in four_words(text)}
    assert [text for text in found if sent.intersection(four_words(text))] == []


def test_a_check_is_taught_by_its_words_with_any_negation() -> None:
    assert is_taught("I can't fault this app"), "as: I have never had any faults with it"
    assert is_taught("nothing wrong with this service"), "as: you can't go wrong"
    assert not is_taught("it doesn't crash and it isn't slow"), "no sentence has both"
    assert not is_taught("no support and no answer")
    assert not is_taught("nothing rhymes in this app")


def test_none_of_our_own_sentences_is_a_check_of_behaviour() -> None:
    checked = {tuple(words(text)) for checks in families().values() for check in checks for text in check.texts}
    assert len(checked) > 100
    assert [text for text, _ in sentences() if tuple(words(text)) in checked] == []


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def test_the_starter_was_trained_on_the_sentences_that_are_here(tmp_path: Path) -> None:
    written = write_sentences(tmp_path / SENTENCES).read_bytes()
    assert starter_bundle().manifest.data.files[SENTENCES] == hashlib.sha256(written).hexdigest()


def four_words(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {*zip(*(found[at:] for at in range(4)), strict=False)}


def test_weights_are_packed_in_half_precision_with_their_hash() -> None:
    found = read_starter()
    array = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    buffer = io.BytesIO()
    np.savez(buffer, **{"embedding.0": array})  # type: ignore[arg-type]
    made = packed(found.version, dict(found.files), buffer.getvalue())
    with np.load(io.BytesIO(made.weights)) as half:
        assert half["embedding.0"].dtype == np.float16
        np.testing.assert_allclose(half["embedding.0"], array, atol=1e-3)
    recorded = json.loads(made.files[MANIFEST_FILE])["training"]["weights"]
    assert (recorded["sha256"], recorded["size_bytes"]) == (hashlib.sha256(made.weights).hexdigest(), len(made.weights))
