from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.decision import Decision, zero_one_costs
from schemas.inference import Model, Scores
from trainer.evaluation.behaviour import STARS, behave, families


class Reader:
    """Rates each text by a rule, with the same confidence."""

    def __init__(self, labels: Sequence[int], rule: Any, known: int = 1) -> None:
        self.decision = Decision(labels=list(labels), costs=zero_one_costs(len(labels)))
        self._rule, self._known = rule, known

    def score(self, texts: Sequence[str]) -> Scores:
        choices = np.array([self._rule(text) - 1 for text in texts], dtype=np.intp)
        shares = np.full((len(texts), 5), 0.05, dtype=np.float32)
        shares[np.arange(len(texts)), choices] = 0.8
        confidences = np.full(len(texts), 0.8, dtype=np.float32)
        scores = Scores.of(shares, choices, confidences, self.decision.expected_ratings(shares))
        return replace(scores, known_words=scores.known_words * self._known)


def found(rule: Any, **more: Any) -> dict[str, float]:
    reader: Model = Reader(STARS, rule, **more)  # type: ignore[assignment]
    return {family.name: family.share for family in behave(reader, 0.5)}


def test_a_model_that_says_five_stars_to_everything_fails_half_of_what_is_asked() -> None:
    shares = found(lambda _: 5)
    assert shares["names"] == shares["capitals"] == shares["spelling"] == 1
    assert shares["intensity"] == shares["mixed"] == shares["questions"] == shares["unreadable"] == 0
    assert shares["stars as text"] == shares["emoji"] == 0.5
    assert 0.3 < shares["negation"] < 0.7


def test_failing_sentences_are_shown_with_the_stars_they_got() -> None:
    reader: Model = Reader(STARS, lambda _: 3)  # type: ignore[assignment]
    negation = behave(reader, 0.5)[0]
    assert (negation.name, negation.passed) == ("negation", 0)
    assert negation.failing[0] == '"not bad at all" 3'


def test_a_model_that_reads_capitals_and_names_is_found_out() -> None:
    shares = found(lambda text: 1 if text.isupper() or "Amazon" in text else 5)
    assert shares["names"] == shares["capitals"] == 0


def test_a_text_that_is_not_read_passes_when_it_is_uncertain() -> None:
    assert found(lambda _: 5, known=0)["unreadable"] == 1


def test_other_labels_are_not_asked() -> None:
    reader: Model = Reader([0, 1, 2, 3, 4], lambda _: 1)  # type: ignore[assignment]
    assert behave(reader, 0.5) == []


@pytest.mark.parametrize("name", list(families()))
def test_each_family_has_different_sentences(name: str) -> None:
    texts = [check.texts for check in families()[name]]
    assert len(set(texts)) == len(texts) >= 7
