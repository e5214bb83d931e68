"""The telling words: the paper's formula against one written out, and what must hold of the ranking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.words.log_odds import FEWEST_REVIEWS, PRIOR_WORDS, TELLING, WordCounts, telling

_reviews = st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=60)


def counted(*reviews: str) -> WordCounts:
    counts = WordCounts()
    for review in reviews:
        counts.add(review.split())
    return counts


def test_a_word_that_is_new_is_named_and_words_of_both_are_not() -> None:
    before = counted(*["the app is good"] * 300, *["login is slow"] * 10)
    now = counted(*["the app is good"] * 270, *["login is broken"] * 40)
    found = telling(now, before, 10)
    assert [word.word for word in found] == ["broken", "login"]
    assert (found[0].reviews, found[0].before) == (40, 0)


def test_the_score_is_the_papers() -> None:
    now, before = counted(*["x y"] * 60, *["y z"] * 40), counted(*["x y"] * 10, *["y z"] * 90)
    (found,) = telling(now, before, 10)
    prior = PRIOR_WORDS * 70 / 400
    odds_now = math.log((60 + prior) / (200 + PRIOR_WORDS - 60 - prior))
    odds_before = math.log((10 + prior) / (200 + PRIOR_WORDS - 10 - prior))
    z = (odds_now - odds_before) / math.sqrt(1 / (60 + prior) + 1 / (10 + prior))
    assert found.word == "x"
    assert found.z == pytest.approx(z)


@given(now=_reviews, before=_reviews)
def test_what_is_named_has_enough_reviews_and_is_never_named_the_other_way_round(
    now: list[set[str]], before: list[set[str]]
) -> None:
    one, other = WordCounts(), WordCounts()
    for counts, reviews in ((one, now), (other, before)):
        for review in reviews:
            counts.add(review)
    found, reverse = telling(one, other, 10), telling(other, one, 10)
    assert not {word.word for word in found} & {word.word for word in reverse}
    assert all(word.reviews >= FEWEST_REVIEWS and word.z >= TELLING for word in found)
    assert telling(one, one, 10) == []


def test_nothing_is_telling_without_a_time_before() -> None:
    assert telling(counted(*["bad"] * 100), WordCounts(), 10) == []


def test_memory_is_bounded_and_words_of_many_reviews_stay() -> None:
    counts = WordCounts()
    for number in range(60_000):
        counts.add(["often", f"once{number}"])
    assert counts.counts["often"] == 60_000
    assert len(counts.counts) <= 50_001
