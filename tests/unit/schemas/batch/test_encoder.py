"""Many ASCII texts at once get the ids that each gets alone, whatever their signs, lengths and number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.batch.encoder import MOST_CHARS, BatchEncoder, word_hashes
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
    encoder = BatchEncoder(table, [], lambda _token: -5)
    words = ["nowhere", *list(table)[:: max(1, count // 100)]]
    (ids,) = encoder.encode([" ".join(words)])
    # All but the few whose places in the table were taken: those are looked up.
    assert ids[0] == -5
    expected = np.array([table[word] for word in words[1:]])
    assert np.count_nonzero(ids[1:] != expected) <= count // 1000


@pytest.mark.parametrize("buckets", [0, 16])
def test_every_character_has_the_ids_that_it_has_alone(buckets: int) -> None:
    """Also next to words, apostrophes, tags and itself; some are words of the table, more than there are bytes."""
    signs = {chr(0x1F300 + number): number + 2 for number in range(200)}
    encoder = Encoder(EncoderSettings(unknown_buckets=buckets), {**signs, "a": 300, "don't": 301, "the": DROPPED})
    codes = range(0x1E000, 0x20000) if buckets else range(0x20000)
    for first in range(codes.start, codes.stop, 4096):
        chars = [chr(code) for code in range(first, first + 4096)]
        many = [f"a{char}b {char}{char}c' {char}'d don{char}t <{char}> ={char}\U0001f300" for char in chars]
        for ids, text in zip(encoder.encode_all(many), many, strict=True):
            assert ids.tolist() == encoder.encode(text).tolist(), ascii(text)


def test_words_that_share_a_hash_keep_their_own_ids() -> None:
    """Two words found by trying 25 million ends of a word."""
    words = ["reviewedstarword", "rwozlahbsjnoasuo"]
    assert len({*word_hashes([word.encode() for word in words])}) == 1
    table = {"good": 4} | {word: number for number, word in enumerate(words, 2)}
    encoder = BatchEncoder(table, [], lambda token: table.get(token, 1))
    for _ in range(2):  # what was looked up once must not be taken for the other
        assert encoder.encode([f"{words[1]} good {words[0]} gone"]).flat.tolist() == [3, 4, 2, 1]


def test_a_token_that_was_looked_up_is_found_the_next_time() -> None:
    asked: list[str] = []

    def look_up(token: str) -> int:
        asked.append(token)
        return 1

    encoder = BatchEncoder({"good": 2}, ["\U0001f600"], look_up)
    asked.clear()
    for _ in range(3):
        assert encoder.encode(["good new \x80 " + "x" * 17]).flat.tolist() == [2, 1, 1, 1]
    assert asked == ["new", "x" * 17, "x" * 17, "x" * 17], "a word longer than sixteen bytes is looked up each time"
    encoder.encode([" ".join(f"w{number}" for number in range(3000))])
    asked.clear()
    encoder.encode([" ".join(f"w{number}" for number in range(3000))])
    assert 0 < len(asked) < 1500, "a bound on the memory"
