"""Which words one set of reviews has more often than another: log-odds with an informative Dirichlet prior.

Owns the formula: Monroe, Colaresi & Quinn 2008, "Fightin' Words", eq. 16 to 22. For a word w that y of n words are, in
the sets i and j, with a prior of a_w = PRIOR_WORDS * (the word's share of both sets):

    delta = log((y_i + a_w) / (n_i + a_0 - y_i - a_w)) - log((y_j + a_w) / (n_j + a_0 - y_j - a_w))
    z = delta / sqrt(1 / (y_i + a_w) + 1 / (y_j + a_w))

The prior pulls rare words towards no difference, and the division leaves common ones that differ by chance behind, so
no list of stop words is needed. A word counts once a review, so one long review does not decide.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

PRIOR_WORDS: Final = 500.0  # a_0, as in the paper
TELLING: Final = 1.96  # z of a word that is named: one in 40 by chance
FEWEST_REVIEWS: Final = 3  # that have the word: fewer could be one person
_MOST_WORDS: Final = 50_000  # distinct ones of a set that are kept


class Word(NamedTuple):
    """A word that is over-represented."""

    word: str
    reviews: int  # of the set that have it
    before: int  # of the other set
    z: float


class WordCounts:
    """How many reviews have each word, in bounded memory: past 50,000 words, those of a single review are forgotten.

    Attributes:
        reviews: how many were added.
        words: their words, each once a review.
    """

    def __init__(self) -> None:
        self.reviews = 0
        self.words = 0
        self.counts: Counter[str] = Counter()

    def add(self, words: Iterable[str]) -> None:
        """Count the words of a review."""
        unique = set(words)
        self.reviews += 1
        self.words += len(unique)
        self.counts.update(unique)
        if len(self.counts) > _MOST_WORDS:
            self.counts = Counter({word: count for word, count in self.counts.items() if count > 1})


def telling(now: WordCounts, before: WordCounts, most: int) -> list[Word]:
    """Return the words that `now` has more often than `before`, the most telling first, at most `most`."""
    both = now.words + before.words
    if not now.words or not before.words:
        return []
    scored = (
        Word(word, count, before.counts[word], _z(count, before.counts[word], now.words, before.words, both))
        for word, count in now.counts.items()
        if count >= FEWEST_REVIEWS
    )
    found = [word for word in scored if word.z >= TELLING]
    return sorted(found, key=lambda word: (-word.z, word.word))[:most]


def _z(one: int, other: int, of_one: int, of_other: int, both: int) -> float:
    if one + other == both:  # the only word there is
        return 0.0
    prior = PRIOR_WORDS * (one + other) / both

    def log_odds(count: int, words: int) -> float:
        return math.log((count + prior) / (words + PRIOR_WORDS - count - prior))

    variance = 1 / (one + prior) + 1 / (other + prior)
    return (log_odds(one, of_one) - log_odds(other, of_other)) / math.sqrt(variance)


def to_fields(words: Iterable[Word]) -> list[Mapping[str, object]]:
    """Return words as JSON has them."""
    return [
        {"word": word.word, "reviews": word.reviews, "before": word.before, "z": round(word.z, 2)} for word in words
    ]
