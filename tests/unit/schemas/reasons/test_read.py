"""Tokens and their places: the encoder's own tokens, found again in the text as it was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import DROPPED, Encoder, EncoderSettings, tokens
from schemas.reasons.read import read

WORDS = ("good", "bad", "fine", "café", "don't", "한국")
_pieces = st.sampled_from(
    [*WORDS, "ﬁne", "CAFE\u0301", "İ", "ß", "Don`t", "don\u00b4t", "\u1112\u1161\u11ab", "<b>", "<", ">", "👍🏽", "!!!",
     "①", "\u00a8", "\u0301", "the", " ", "\n", "...", "日本", "\u0926\u093f"]
)  # fmt: skip
texts = st.lists(_pieces, min_size=1, max_size=30).map("".join) | st.text(min_size=1, max_size=80)


def encoder(**settings: object) -> Encoder:
    table = {word: number + 2 for number, word in enumerate(WORDS)} | {"the": DROPPED}
    return Encoder(EncoderSettings.model_validate(settings), table)


@given(texts, st.sampled_from([8, 9, 256]), st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_tokens_and_ids_are_those_of_the_encoder(text: str, most: int, head: float) -> None:
    made = encoder(max_tokens=most, head_share=head, stop_words=True)
    found = read(made, text)
    assert [token.folded for token in found] == tokens(text)
    ids = [token.id for token in found if token.id is not None]
    if ids:  # a text without any is one unknown token
        assert np.array_equal(ids, made.encode(text))


@given(texts)
def test_the_places_are_in_order_and_hold_the_token(text: str) -> None:
    for token in read(encoder(), text):
        assert 0 <= token.start < token.end <= len(text)
        assert token.folded in " ".join(tokens(text[token.start : token.end]))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("So GOOD, don\u00b4t!!", ["So", "GOOD", ",", "don\u00b4t", "!!"]),
        ("a ﬁne cafe\u0301", ["a", "ﬁne", "cafe\u0301"]),
        ("x <b>good</b> \U0001f44d\U0001f3fd", ["x", "good", "\U0001f44d"]),
        ("日本 bad", ["日", "本", "bad"]),
        ("\u1112\u1161\u11ab", ["\u1112\u1161\u11ab"]),
    ],
)
def test_a_place_is_where_a_person_sees_the_word(text: str, written: list[str]) -> None:
    assert [text[token.start : token.end] for token in read(encoder(), text)] == written


def test_known_words_stop_words_and_the_middle_of_a_long_text_are_told_apart() -> None:
    made = encoder(max_tokens=8, head_share=0.5, unknown_buckets=4)
    found = read(made, "the good " + "other " * 8 + "bad")
    assert [token.known for token in found[:3]] == [False, True, False]
    assert [token.id is not None for token in found] == [False, *[True] * 4, *[False] * 2, *[True] * 4]
