"""The words that tell the stars apart, as lists and as a cloud, for the report's summary of the data.

Owns which words are telling: the log odds ratio with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008,
"Fightin' Words"), as a z-score, each word counted once a review. Shows single words only, never a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.encoding import tokens
from trainer.data.dataset import Part

PRIOR = 500.0  # words of the prior; more pulls rare words to the mean of all labels
FEWEST_REVIEWS = 5
MOST_WORDS = 12
CLOUD_WORDS = 60
CLOUD_SIZE = (500, 260)


def telling_words(part: Part, labels: Sequence[int]) -> dict[int, dict[str, float]]:
    """Return for each label its most telling words with their z-scores, the highest first."""
    counts = [Counter[str]() for _ in labels]
    for text, target in zip(part.texts, part.targets.tolist(), strict=True):
        counts[target].update(dict.fromkeys(filter(_is_word, tokens(text)), 1))
    total: Counter[str] = Counter()
    for of_label in counts:
        total.update(of_label)
    words = sorted(word for word, count in total.items() if count >= FEWEST_REVIEWS)
    if not words:
        return {label: {} for label in labels}
    everywhere = np.array([total[word] for word in words], dtype=np.float64)
    prior = PRIOR * everywhere / everywhere.sum()
    found = {}
    for label, of_label in zip(labels, counts, strict=True):
        here = np.array([of_label[word] for word in words], dtype=np.float64)
        scores = _z_scores(here, everywhere - here, prior)
        order = np.argsort(-scores, kind="stable")[:CLOUD_WORDS]
        found[label] = {words[at]: round(float(scores[at]), 3) for at in order if scores[at] > 0}
    return found


def _z_scores(here: Any, elsewhere: Any, prior: Any) -> Any:
    """Return the z-score of each word's log odds here against elsewhere."""
    ours, theirs = here + prior, elsewhere + prior
    odds = np.log(ours / (ours.sum() - ours)) - np.log(theirs / (theirs.sum() - theirs))
    return odds / np.sqrt(1 / ours + 1 / theirs)


def cloud(words: dict[str, float], color: str) -> str:
    """Draw words by their scores as an `<svg>` element; the same words give the same picture. "" without words."""
    from wordcloud import WordCloud

    shown = {word: score for word, score in words.items() if word.isascii()}
    if not shown:
        return ""
    size = {"width": CLOUD_SIZE[0], "height": CLOUD_SIZE[1]}
    drawn = WordCloud(**size, background_color=None, mode="RGBA", random_state=0, color_func=lambda *_, **__: color)
    svg: str = drawn.generate_from_frequencies(shown).to_svg(embed_font=False)
    return svg[svg.index("<svg") :].replace("<svg ", f'<svg viewBox="0 0 {CLOUD_SIZE[0]} {CLOUD_SIZE[1]}" ', 1)


def _is_word(token: str) -> bool:
    return token[0].isalpha() or not token.isascii()
