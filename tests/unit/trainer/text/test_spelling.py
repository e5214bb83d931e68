"""Misspellings that the table reads as the word they are one error away from."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas.encoding import UNKNOWN_ID
from tests.fixtures.flags import of_trainer
from trainer.settings import TrainSettings
from trainer.text.spelling import TIMES, TIMES_OF_ANOTHER_LETTER, corrections
from trainer.text.vocabulary import learn

COMMON = Counter({"terrible": TIMES_OF_ANOTHER_LETTER, "awesome": TIMES, "app": 1000})


@pytest.mark.parametrize(
    "word", ["terible", "terrrible", "terrbile", "tirrible"], ids=["less", "more", "swap", "other"]
)
def test_one_error_is_corrected(word: str) -> None:
    assert corrections({}, COMMON + Counter({word: 1})) == {word: "terrible"}


@pytest.mark.parametrize("word", ["errible", "trible", "terribles1", "tarrable", "ape"])
def test_the_first_letter_two_errors_numbers_and_short_words_are_not(word: str) -> None:
    assert corrections({}, COMMON + Counter({word: 1})) == {}


def test_a_word_that_is_common_or_labelled_is_a_word_of_its_own() -> None:
    assert corrections({}, COMMON + Counter({"awesom": 1})) == {"awesom": "awesome"}
    assert corrections({}, COMMON + Counter({"awesom": 2})) == {}, "not so much rarer"
    assert corrections({}, COMMON + Counter({"awasome": 1})) == {}, "another letter needs more"
    assert corrections({"awesom": 5}, COMMON + Counter({"awesom": 1})) == {}, "its labels teach it"


def test_a_misspelling_of_a_misspelling_is_the_word() -> None:
    seen = Counter({"excellent": TIMES**2, "excelent": TIMES, "excelentt": 1})
    assert corrections({}, seen) == {"excelentt": "excellent", "excelent": "excellent"}


def test_the_vocabulary_reads_a_misspelling_as_the_word_and_unlabelled_texts_bring_more() -> None:
    settings = of_trainer(["train", "--data", "x.csv"])
    assert isinstance(settings, TrainSettings)
    texts = ["terrible app"] * 40 + ["terible app"]
    found = learn(texts, settings, ["terrble app"])
    encoder = found.encoder()
    assert encoder.encode("terible terrble").tolist() == encoder.encode("terrible terrible").tolist()
    assert found.reference.encode("terible terrble") == encoder.encode("terible terrble").tolist()
    assert encoder.encode("trrible").tolist() == [UNKNOWN_ID], "no text has it"
    plain = learn(texts, settings.model_copy(update={"spelling": False}), ["terrble app"]).encoder()
    assert plain.encode("terible").tolist() == [UNKNOWN_ID]
