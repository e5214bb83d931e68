"""Why a text gets its stars: what each of its words does to the rating.

Owns the two measures, and their form as JSON. For the whole model a word's effect is measured by leaving the word out
and rating the rest through the same graph (occlusion; Zeiler & Fergus 2014, Li et al. 2016). The effects of several
words do not add up: of two words that say the same, neither may be missed. For the wide part the shares are exact, and
they do add up (`wide`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.decision import Floats
from schemas.encoding import UNKNOWN_ID, Ids
from schemas.inference import Model, Scores
from schemas.reasons.read import Token, read
from schemas.reasons.wide import Contributions, Doubles, WidePart


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text with what its words do, n of its tokens read, K labels.

    Attributes:
        tokens: all of its tokens; the n with an id are those that the model reads.
        scores: of the text, one row.
        effects: `float32[n]`, by how much the expected rating is higher because the word is there; of a label model,
            the probability of the label that it is about.
        support: `float32[n]`, likewise for the probability of the label decided on.
        wide: of the wide part, for the n tokens; None when the model has none.
        pair_effects: `float64[n]`, what each token with the one before it adds to the expected rating in the wide part,
            to first order; None likewise.
    """

    text: str
    tokens: Sequence[Token]
    scores: Scores
    effects: Floats
    support: Floats
    wide: Contributions | None
    pair_effects: Doubles | None

    @property
    def read(self) -> list[Token]:
        """The n tokens that the model reads."""
        return [token for token in self.tokens if token.id is not None]

    def strongest(self, most: int) -> list[str]:
        """Return the folded words that support the decision most, the strongest first, as `reasons` has them."""
        return strongest([token.folded for token in self.read], self.support, most)

    def to_fields(self) -> dict[str, Any]:
        """Return the fields as JSON has them; places are in code points."""
        found: dict[str, Any] = {
            "tokens": len(self.tokens),
            "unknown": sum(not token.known for token in self.tokens),
            "words": self._words(),
        }
        if self.wide is not None and self.pair_effects is not None:
            found["pairs"] = [
                {"text": text, "effect": _rounded(effect), "wide": [*map(_rounded, shares)]}
                for text, effect, shares in zip(self.pair_texts, self.pair_effects, self.wide.pairs, strict=True)
            ]
            found["wide_bias"] = [*map(_rounded, self.wide.bias)]
            found["wide_logits"] = [*map(_rounded, self.wide.logits)]
        return found

    def _words(self) -> list[dict[str, Any]]:
        words, at = [], 0
        for token in self.tokens:
            is_read = token.id is not None
            word: dict[str, Any] = {"text": self.text[token.start : token.end], "start": token.start, "end": token.end}
            word |= {"known": token.known, "read": is_read}
            word["effect"] = _rounded(self.effects[at]) if is_read else 0.0
            word["support"] = _rounded(self.support[at]) if is_read else 0.0
            if is_read and self.wide is not None:
                word["wide"] = [*map(_rounded, self.wide.words[at])]
            words.append(word)
            at += is_read
        return words

    @property
    def pair_texts(self) -> list[str]:
        """The folded words of each pair; the first has one word, at the text's beginning."""
        words = [token.folded for token in self.read]
        return [" ".join(pair) for pair in zip(["^", *words[:-1]], words, strict=True)]


def explain(model: Model, wide: WidePart | None, text: str) -> Explanation:
    """Explain a text's rating; blocks for one rating of the text for each of its tokens.

    Raises:
        RuntimeError: the runtime refused a group.
    """
    found = read(model.encoder, text)
    ids = np.array([token.id for token in found if token.id is not None], dtype=np.int32)
    if not len(ids):  # the model reads one unknown word, but the text has none that could be left out
        nothing = np.empty(0, np.float32)
        return Explanation(text, found, model.score([text]), nothing, nothing, None, None)
    scores = model.score_ids([ids])
    effects, support = leave_out(model, [ids], scores)[0]
    if wide is None:
        return Explanation(text, found, scores, effects, support, None, None)
    shares = wide.contributions(ids)
    pair_effects = shares.pairs @ first_order(model, scores)
    return Explanation(text, found, scores, effects, support, shares, pair_effects)


def first_order(model: Model, scores: Scores) -> Doubles:
    """Return by how much what effects are measured in rises with each logit of a text, `float64[K]`."""
    decision = model.decision
    probabilities = scores.probabilities[0]
    rise: Doubles = decision.rise(probabilities.astype(np.float64), decision.aim(probabilities, scores.choices[0]))
    return rise


def leave_out(model: Model, rows: Sequence[Ids], scores: Scores) -> list[tuple[Floats, Floats]]:
    """Return for each text what its words do to the expected rating and to the probability of the label decided on.

    Args:
        model: whose scores these are.
        rows: the texts' ids, `int32[n]` each.
        scores: of the texts.

    Returns:
        `float32[n]` each, with the word less without it; the words of all texts are rated in one call.

    Raises:
        RuntimeError: the runtime refused a group.
    """
    without = [shorter for ids in rows for shorter in _without_each(ids)]
    if not without:
        return []
    decision = model.decision
    rated = model.score_ids(without)
    found, start = [], 0
    for at, ids in enumerate(rows):
        end = start + len(ids)
        own, others = scores.probabilities[at : at + 1], rated.probabilities[start:end]
        aim = decision.aim(own[0], scores.choices[at])
        effects = decision.worth(own, aim) - decision.worth(others, aim)
        support = own[:, aim] - others[:, aim]
        found.append((effects, support))
        start = end
    return found


def strongest(words: Sequence[str], support: Floats, most: int) -> list[str]:
    """Return the words with the most support, at most `most`, each once; only those that do support the decision."""
    order = np.argsort(-support, kind="stable")
    found = (words[at] for at in order.tolist() if support[at] > 0 and _says_something(words[at]))
    return list(dict.fromkeys(found))[:most]


def _says_something(word: str) -> bool:
    """Tell words, emoji, ! and ? from other marks, of which the comma would end an item in Redis's lists."""
    return not word.isascii() or word[0].isalnum() or word[0] in "!?"


def _without_each(ids: Ids) -> list[Ids]:
    """Return the text without its first token, without its second, and so on; the only token becomes an unknown one."""
    if len(ids) == 1:
        return [np.array([UNKNOWN_ID], dtype=np.int32)]
    return [np.delete(ids, at) for at in range(len(ids))]


def _rounded(value: float) -> float:
    return round(float(value), 4)
