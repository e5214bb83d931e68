"""What a rating says besides its stars: whether the author contradicts them, and which words made them.

Owns which reviews of a chunk get which remark. `classifier` puts them into the ratings, and `predictor` into
predictions; `schemas` has the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.decision import MismatchRule
from schemas.inference import Model, Scores
from schemas.label_decision import LabelDecision
from schemas.reasons.explain import leave_out, strongest
from schemas.reasons.read import Token, read
from schemas.review import Review
from worker.settings import ReasonsMode

_MOST_REASONS: Final = 3
_MOST_IDS: Final = 2_000_000  # in one call, which has a text for each word of each text


@dataclass(frozen=True, slots=True)
class RatingOptions:
    """What ratings are to say.

    Attributes:
        min_confidence: a rating with less confidence is marked `uncertain`; None: the bundle's own limit.
        reasons: which ratings name the words behind them; `low` are those below the middle of the stars, and all of a
            label model that have a label.
    """

    min_confidence: float | None = None
    reasons: ReasonsMode = "off"


PLAIN: Final = RatingOptions()


class Remarks:
    """Makes the remarks on a model's ratings. For one thread."""

    def __init__(self, model: Model, mismatch: MismatchRule | None, reasons: ReasonsMode) -> None:
        self._model = model
        self._mismatch = mismatch
        self._reasons = reasons
        self._label_at: Mapping[Any, int] = {label: at for at, label in enumerate(model.decision.labels)}

    def of(self, reviews: Sequence[Review], scores: Scores) -> Mapping[int, Mapping[str, Any]]:
        """Return further fields of ratings, by position; most have none.

        Raises:
            RuntimeError: the runtime refused a group.
        """
        found: dict[int, dict[str, Any]] = {}
        if self._mismatch is not None:
            asked = [at for at, review in enumerate(reviews) if review.score in self._label_at]
            for at, contradicts in self._contradictions(self._mismatch, reviews, scores, asked):
                found[at] = {"mismatch": contradicts}
        if self._reasons != "off":
            for at, words in self._words(reviews, scores):
                found.setdefault(at, {})["reasons"] = words
        return found

    def _contradictions(
        self, rule: MismatchRule, reviews: Sequence[Review], scores: Scores, asked: Sequence[int]
    ) -> Sequence[tuple[int, bool]]:
        if not asked:
            return []
        given = [self._label_at[reviews[at].score] for at in asked]  # `asked` has one
        stars: npt.NDArray[np.intp] = np.array(given, dtype=np.intp)
        contradicts = rule.contradicts(scores.probabilities[np.array(asked)], stars)
        return list(zip(asked, contradicts.tolist(), strict=True))

    def _named(self, scores: Scores) -> Sequence[int]:
        """Return which texts' words are wanted."""
        decision, choices = self._model.decision, scores.choices
        if self._reasons == "all":
            return range(len(choices))
        if isinstance(decision, LabelDecision):
            return np.flatnonzero(choices.any(axis=1)).tolist()
        stars = np.asarray(decision.labels)
        return np.flatnonzero(stars[choices] < (stars[0] + stars[-1]) / 2).tolist()

    def _words(self, reviews: Sequence[Review], scores: Scores) -> Sequence[tuple[int, list[str]]]:
        found: list[tuple[int, list[Token]]] = []
        for at in self._named(scores):
            tokens = [token for token in read(self._model.encoder, reviews[at].text) if token.id is not None]
            if tokens:
                found.append((at, tokens))
        named = [words for some in _few(found) for words in self._strongest(some, scores)]
        return [(at, words) for at, words in named if words]

    def _strongest(self, some: Sequence[tuple[int, list[Token]]], scores: Scores) -> Iterator[tuple[int, list[str]]]:
        rows = [np.array([token.id for token in tokens], dtype=np.int32) for _, tokens in some]
        measured = leave_out(self._model, rows, scores.at(np.array([at for at, _ in some], dtype=np.intp)))
        for (at, tokens), (_, support) in zip(some, measured, strict=True):
            yield at, strongest([token.folded for token in tokens], support, _MOST_REASONS)


def _few(found: Sequence[tuple[int, list[Token]]]) -> Iterator[list[tuple[int, list[Token]]]]:
    """Yield texts that are left without each of their words in one call: its memory does not grow with long texts."""
    some: list[tuple[int, list[Token]]] = []
    ids = 0
    for at, tokens in found:
        if some and ids + len(tokens) ** 2 > _MOST_IDS:
            yield some
            some, ids = [], 0
        some.append((at, tokens))
        ids += len(tokens) ** 2
    if some:
        yield some
