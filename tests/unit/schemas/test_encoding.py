from __future__ import annotations

import json
import tracemalloc
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import DROPPED, FIRST_WORD_ID, UNKNOWN_ID, Encoder, EncoderSettings, tokens

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "encoder.json").read_bytes())
TABLE: dict[str, int] = GOLDEN["table"]

_settings = st.builds(
    EncoderSettings,
    max_tokens=st.integers(8, 40),
    head_share=st.floats(0, 1),
    squeeze=st.booleans(),
    unknown_buckets=st.integers(0, 9),
)
_texts = st.lists(st.sampled_from(sorted(TABLE)) | st.text(max_size=6), max_size=60).map(" ".join)


@pytest.mark.parametrize("case", GOLDEN["texts"], ids=range(len(GOLDEN["texts"])))
def test_golden_file_pins_tokens_and_ids(case: dict[str, Any]) -> None:
    assert tokens(case["text"]) == case["tokens"]
    for settings, ids in zip(GOLDEN["settings"], case["ids"], strict=True):
        assert Encoder(EncoderSettings(**settings), TABLE).encode(case["text"]).tolist() == ids


@given(settings=_settings, text=_texts)
def test_every_text_gives_ids_of_the_table_within_the_limit(settings: EncoderSettings, text: str) -> None:
    encoder = Encoder(settings, TABLE)
    ids = encoder.encode(text)
    assert ids.dtype == np.int32
    assert 1 <= len(ids) <= settings.max_tokens
    assert ids.min() >= UNKNOWN_ID
    assert ids.max() < encoder.size


@given(settings=_settings, texts=st.lists(_texts, max_size=8))
def test_ids_of_a_text_do_not_depend_on_what_was_encoded_before(settings: EncoderSettings, texts: list[str]) -> None:
    used = Encoder(settings, TABLE)
    joined = used.encode_all(texts)
    again = used.encode_all(texts[::-1])[::-1]
    for text, first, second in zip(texts, joined, again, strict=True):
        assert first.tolist() == second.tolist() == Encoder(settings, TABLE).encode(text).tolist()


@given(text=st.text())
def test_tokens_are_folded_visible_and_without_spaces(text: str) -> None:
    for token in tokens(text):
        assert token
        assert not any(char.isspace() or char == "_" for char in token)
        assert tokens(token) == [token], "a token is its own only token, so a table of tokens can be looked up"


@given(text=st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_text_has_the_same_tokens_by_either_rule(text: str) -> None:
    assert [*tokens(text.replace("<", " ")), "\u00e9"] == tokens(text.replace("<", " ") + " \u00e9")


@given(text=_texts)
def test_form_of_unicode_does_not_matter(text: str) -> None:
    assert tokens(unicodedata.normalize("NFC", text)) == tokens(unicodedata.normalize("NFD", text))


@pytest.mark.parametrize("apostrophe", "'\u2019\u2018\u02bc`\u00b4\uff07")
@pytest.mark.parametrize("suffix", ["", " \U0001f44d"])
def test_apostrophes_of_every_shape_are_one(apostrophe: str, suffix: str) -> None:
    assert tokens(f"don{apostrophe}t{suffix}")[0] == "don't"


def test_longer_texts_keep_head_and_tail() -> None:
    table = {f"w{number}": FIRST_WORD_ID + number for number in range(100)}
    text = " ".join(table)
    for share, head in ((0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)):
        found = Encoder(EncoderSettings(max_tokens=8, head_share=share), table).encode(text)
        assert found.tolist() == [2 + number for number in [*range(head), *range(100 - (8 - head), 100)]]


def test_dropped_words_leave_no_id_and_no_room() -> None:
    encoder = Encoder(EncoderSettings(max_tokens=8), {"the": DROPPED, "good": 2})
    assert encoder.encode("the " * 50 + "good").tolist() == [2]
    assert encoder.encode("the the").tolist() == [UNKNOWN_ID]


def test_unknown_words_have_the_same_bucket_in_every_process() -> None:
    encoder = Encoder(EncoderSettings(unknown_buckets=100), {"good": 2})
    assert encoder.encode("zebra").tolist() == [3 + zlib.crc32(b"zebra") % 100]
    assert encoder.size == 103
    assert encoder.unknown_count(encoder.encode("good zebra ostrich")) == 2


def test_many_new_words_do_not_grow_the_memory_without_bound() -> None:
    encoder = Encoder(EncoderSettings(), {"good": 2})
    for start in range(0, 130_000, 1000):
        if start == 110_000:
            tracemalloc.start()
        encoder.encode(" ".join(f"w{number}" for number in range(start, start + 1000)))
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 100_000, "20,000 words that were kept would take 2 MB"
    assert encoder.encode("w129999 good").tolist() == [UNKNOWN_ID, 2]


@pytest.mark.parametrize("wrong", [0, 1, -2])
def test_table_of_wrong_ids_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="not a word id"):
        Encoder(EncoderSettings(), {"good": wrong})


def test_every_character_folds_the_same_in_either_case_and_composition() -> None:
    """Every letter and sign, so that no rare letter is two words: fancy capitals (NFKC makes new ones) among them."""
    for code in (*range(0xD800), *range(0xE000, 0x20000)):  # beyond: ideographs and tags
        char = chr(code)
        found = tokens(char)
        assert found == tokens(char.casefold()), hex(code)
        if code != 0x1FFD:  # Greek's own acute accent, canonically the other one: an apostrophe when decomposed
            assert found == tokens(unicodedata.normalize("NFD", char)), hex(code)
        assert all(tokens(token) == [token] for token in found), hex(code)
    assert tokens("\U0001d407\U0001d41e\U0001d425\U0001d425\U0001d428") == ["hello"]


def test_words_and_known_words_are_counted_and_punctuation_is_neither() -> None:
    encoder = Encoder(EncoderSettings(), {"good": 2, ".": 3, "!!": 4, "\N{HEAVY BLACK HEART}": 5, "10": 6})
    texts = ["good . !!", "жжж .", "жжж good жжж good", "\N{HEAVY BLACK HEART}", ". .", "10 ;"]
    words, known = encoder.word_counts(encoder.encode_all(texts))
    assert words.tolist() == [1, 1, 4, 1, 0, 2], "a mark that the table does not hold may be a word"
    assert known.tolist() == [1, 0, 2, 1, 0, 1]


def test_hashed_words_are_unknown_ones() -> None:
    encoder = Encoder(EncoderSettings(unknown_buckets=8), {"good": 2})
    words, known = encoder.word_counts(encoder.encode_all(["good other", "other"]))
    assert (words.tolist(), known.tolist()) == ([2, 1], [1, 0])
