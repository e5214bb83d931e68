from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.encoding import DROPPED, UNKNOWN_ID
from tests.conftest import ROOT, missing
from trainer.errors import Exit
from trainer.settings import TextSettings
from trainer.text.vocabulary import Vocabulary, learn

NLTK_DATA = ROOT.parent / "shared" / "nltk_data"
TRAINING = (
    "The cats were running, and the cat runs; running is what cats do.",
    "Don't delete my apps! I don't like the new apps, the app isn't working.",
    "so good so good \U0001f44d \U0001f44d very very good",
    "works working worked; it works, wolves and geese and children",
    "not good, not bad, no no no",
)
VARIANTS = [
    TextSettings(
        normalise=normalise, stop_words=stop_words, min_count=min_count, max_tokens=16, unknown_buckets=buckets
    )
    for normalise in ("none", "lemma", "stem")
    for stop_words in (False, True)
    for min_count, buckets in ((1, 0), (2, 7))
]


@pytest.fixture(autouse=True)
def _corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    if not NLTK_DATA.is_dir():
        missing(f"{NLTK_DATA} is not here")
    monkeypatch.setattr("nltk.data.path", [str(NLTK_DATA)])


@cache
def _learned(number: int) -> Vocabulary:
    return learn(TRAINING, VARIANTS[number])


_surfaces = st.sampled_from(sorted({word for text in TRAINING for word in text.split()}))
_noise = st.text(max_size=8)
_stretched = st.builds(lambda word, times: word[:-1] + word[-1] * times, _surfaces, st.integers(1, 6))
_texts = st.lists(_surfaces | _noise | _stretched, max_size=40).map(" ".join)


@pytest.mark.parametrize("number", range(len(VARIANTS)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_texts)
@example(text="")
@example(text="unseen wolfs goooood \U0001f44d\U0001f3fd DON\u2019T " * 4)
def test_compiled_table_gives_the_ids_of_the_nltk_path(number: int, text: str) -> None:
    vocabulary = _learned(number)
    assert vocabulary.encoder().encode(text).tolist() == vocabulary.reference.encode(text)


@pytest.mark.parametrize(
    ("texts", "unlabelled", "changes", "table"),
    [
        (["b b b a a c c d"], [], {"min_count": 2}, {"b": 2, "a": 3, "c": 4}),  # by count, then alphabet
        (
            ["a b c d e f g h i j k l"],
            [],
            {"min_count": 1, "vocabulary_size": 10},
            {word: 2 + at for at, word in enumerate("abcdefghij")},
        ),
        (["cat cat", "cats"], [], {"normalise": "lemma", "min_count": 3}, {"cat": 2, "cats": 2}),
        (["cat cat cat"], [], {"normalise": "lemma"}, {"cat": 2}),  # "cats" was not seen
        (["good good bad"], ["fine fine fine bad", "odd odd"], {"unlabelled_min_count": 3}, {"good": 2, "fine": 3}),
    ],
)
def test_words_that_are_frequent_enough_have_ids(
    texts: list[str], unlabelled: list[str], changes: dict[str, object], table: dict[str, int]
) -> None:
    vocabulary = learn(texts, TextSettings.model_validate(changes), unlabelled)
    assert vocabulary.table == table
    for text in (*texts, *unlabelled, "unseen cats"):
        assert vocabulary.encoder().encode(text).tolist() == vocabulary.reference.encode(text)


@pytest.mark.parametrize(
    ("normalise", "same", "other"),
    [("lemma", ("cat", "cats"), "working"), ("stem", ("work", "working", "worked", "works"), "cat")],
)
def test_surfaces_of_one_base_form_share_its_id(
    normalise: Literal["lemma", "stem"], same: tuple[str, ...], other: str
) -> None:
    table = learn([*TRAINING, "work"], TextSettings(normalise=normalise)).table
    assert len({table[surface] for surface in same}) == 1
    assert table[other] != table[same[0]]


def test_stop_words_are_dropped_except_negations() -> None:
    table = learn(TRAINING, TextSettings(stop_words=True, min_count=1)).table
    assert table["the"] == table["is"] == DROPPED
    assert all(table[word] > UNKNOWN_ID for word in ("not", "no", "don't", "isn't", "very"))


@pytest.mark.parametrize("flags", [["--normalise", "lemma"], ["--stop-words"]])
def test_missing_corpus_is_reported_before_the_data_is_read(flags: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", "--data", "unread.csv", *flags],
        cwd=ROOT,
        env={**os.environ, "NLTK_DATA": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.BAD_DATA
    assert "python -m nltk.downloader wordnet stopwords" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("words", "expected"), [(5, 64), (90, 96), (300, 320), (5000, 1024)])
def test_99_percent_of_the_texts_fit_whole(words: int, expected: int) -> None:
    texts = ["word " * words] * 10
    assert learn(texts, TextSettings()).settings.max_tokens == expected
    assert learn(texts, TextSettings(max_tokens=77)).settings.max_tokens == 77


def test_words_of_a_script_without_labels_stay_unknown_and_emoji_do_not() -> None:
    unlabelled = ["\u0445\u043e\u0440\u043e\u0448\u043e fine \U0001f642"] * 5
    latin = learn(["good app"] * 300, TextSettings(), unlabelled).table
    assert {"fine", "\U0001f642"} <= {*latin}
    assert "\u0445\u043e\u0440\u043e\u0448\u043e" not in latin
    both = learn(["good app"] * 300 + ["\u043f\u043b\u043e\u0445\u043e"] * 4, TextSettings(), unlabelled).table
    assert "\u0445\u043e\u0440\u043e\u0448\u043e" in both, "labels say what words of this script are worth"
