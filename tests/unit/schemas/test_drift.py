"""What trainer and worker count alike: scripts of a text, histograms, and the index between two of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.drift import SCRIPT_BINS, histogram, script_bin, script_counts, stability_index


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("love it", "latin"),
        ("Très bien, straße", "latin"),
        ("Привет app", "cyrillic"),
        ("很好用", "han"),
        ("かわいいアプリ", "kana"),
        ("좋아요", "hangul"),
        ("ดีมาก", "thai"),
        ("شكرا", "arabic"),
        ("תודה", "hebrew"),
        ("बहुत अच्छा", "indic"),
        ("Ευχαριστώ", "greek"),
        ("👍👍 5/5!!", "none"),
        ("123", "none"),
        ("👍👍👍👍 ok", "latin"),
        ("ქართული", "other"),
    ],
)
def test_a_text_is_of_the_script_most_of_its_letters_are(text: str, script: str) -> None:
    assert SCRIPT_BINS[script_bin(text)] == script


@given(st.lists(st.text(), max_size=5))
def test_every_text_is_counted_once(texts: list[str]) -> None:
    counts = script_counts(texts)
    assert (len(counts), counts.sum()) == (len(SCRIPT_BINS), len(texts))


def test_upper_edges_are_included_and_the_last_bin_is_open() -> None:
    assert histogram(np.array([2, 3, 4, 5, 500]), [2.0, 4.0]).tolist() == [1, 2, 2]


shares = st.lists(st.integers(0, 1000), min_size=2, max_size=9).filter(sum)


@given(shares, st.data())
def test_the_index_is_never_negative_and_zero_for_the_same_shares(counts: list[int], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.integers(0, 1000), min_size=len(counts), max_size=len(counts)))
    seen = np.array(counts)
    expected = (seen / seen.sum()).tolist()
    assert stability_index(expected, seen) == pytest.approx(0, abs=1e-9)
    assert 0 <= stability_index(expected, np.array(other)) < math.inf


def test_the_index_has_the_published_value() -> None:
    expected = (0.5 - 0.25) * math.log(0.5 / 0.25) + (0.5 - 0.75) * math.log(0.5 / 0.75)
    assert stability_index([0.25, 0.75], np.array([50, 50])) == pytest.approx(expected)
