"""Many ASCII texts at once get the ids that each gets alone, whatever their signs, lengths and number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.ascii_encoding import MOST_CHARS, AsciiEncoder
from schemas.encoding import DROPPED, Encoder, EncoderSettings

WORDS = [
    "good",
    "don't",
    "it's",
    "!!",
    "!",
    "...",
    ".",
    "?",
    ":",
    "a",
    "b1",
    "so",
    "x" * 64,
    "x" * 65,
    "'",
    "~",
    "\x01",
]
TABLE = {word: number + 2 for number, word in enumerate(WORDS)} | {"the": DROPPED}
ENCODER = Encoder(EncoderSettings(max_tokens=64, unknown_buckets=16), TABLE)

pieces = st.one_of(
    st.sampled_from(
        [*WORDS, "the", "soooo", "unknown", "a'b'c", "''", "a''b", "_", "a_b", " ", "\t", "\x1c", "\x7f", "GOOD"]
    ),
    st.text(st.characters(max_codepoint=127), max_size=6),
)
texts = st.lists(st.lists(pieces, max_size=12).map("".join), max_size=30)


@given(texts)
@example(["'a", "a'", "'", "", "a", "."])
@example(["x" * (MOST_CHARS - 1), "good", "x" * MOST_CHARS, "x" * (MOST_CHARS + 1)])
def test_ids_are_those_of_the_regular_expression(found: list[str]) -> None:
    many = found * (1 + 4_000 // (1 + sum(map(len, found))))  # enough for the faster way
    for ids, text in zip(ENCODER.encode_all(many), many, strict=True):
        np.testing.assert_array_equal(ids, ENCODER.encode(text), err_msg=repr(text))


def test_texts_that_are_not_plain_ascii_keep_their_places() -> None:
    many = ["good", "é good", "<b>good</b>", "don`t", "a\0b", "😍", "so"] * 200
    for ids, text in zip(ENCODER.encode_all(many), many, strict=True):
        np.testing.assert_array_equal(ids, ENCODER.encode(text), err_msg=repr(text))


@pytest.mark.parametrize("count", [0, 1, 50_000])
def test_a_table_of_any_size_is_found(count: int) -> None:
    table = {f"word{number}": number for number in range(count)}
    encoder = AsciiEncoder(table, lambda _token: -5)
    words = ["nowhere", *list(table)[:: max(1, count // 100)]]
    (ids,) = encoder.encode([" ".join(words)])
    # All but the few whose places in the table were taken: those are looked up.
    assert ids[0] == -5
    expected = np.array([table[word] for word in words[1:]])
    assert np.count_nonzero(ids[1:] != expected) <= count // 1000
