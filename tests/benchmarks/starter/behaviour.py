"""How many checks of what a reader expects the starter passes, and how many of them it was taught.

Owns what counts as taught: a sentence of our own has the check's words that say something of quality, by their stems,
and a negation where the check has one. "I have never had any faults" teaches "I can't fault this app". A check that was
taught says less of what the model does with other words.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from schemas.bundle import Bundle
from tests.benchmarks.starter.sentences import sentences
from trainer.evaluation.behaviour import THINGS, behave, families
from trainer.export.runtime import open_interpreter

_NEGATIONS: Final = frozenset({"not", "no", "never", "nothing", "nobody", "neither", "nor", "cannot", "without"})
_SAYING_NOTHING: Final = (
    *THINGS, "this", "the", "a", "an", "i", "you", "it", "is", "was", "be", "with", "so", "far", "about",
    "me", "has", "my", "in", "from", "of", "at", "all", "to", "and",
)  # fmt: skip


def expected(bundle: Bundle) -> str:
    """Return the line of the card: what passed in each family, and of negation how much of it was taught."""
    found = behave(bundle.load(open_interpreter), bundle.manifest.least_confidence(None), shown=None)
    counts = ", ".join(f"{family.name} {family.passed} of {family.checks}" for family in found)
    failing = {text for family in found for text in re.findall(r'"(.*?)" \d', " ".join(family.failing))}
    asked = [check.texts[0] for check in families()["negation"]]
    taught = {text for text in asked if is_taught(text)}
    passed = [text for text in asked if text not in failing]
    of_taught = sum(text in taught for text in passed)
    return (
        f"Sentences rated as a reader expects (`trainer/evaluation/behaviour`): {counts}. Of negation, {of_taught} of "
        f"the {len(taught)} whose words a sentence of our own combines too, and {len(passed) - of_taught} of the other "
        f"{len(asked) - len(taught)}."
    )


def is_taught(asked: str) -> bool:
    """Tell whether one of our own sentences combines the words of a check."""
    combination = _stems(asked) - {_stem(word) for word in _SAYING_NOTHING}
    negated = _negates(asked)
    return any(combination <= stems and (no or not negated) for stems, no in _own())


@cache
def _own() -> list[tuple[frozenset[str], bool]]:
    return [(_stems(text), _negates(text)) for text, _ in sentences()]


def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _words(text) if not _is_negation(word))


@cache
def _stem(word: str) -> str:
    from nltk.stem import SnowballStemmer  # here, because every process of a test run imports this file

    found: str = SnowballStemmer("english").stem(word)
    return found


def _negates(text: str) -> bool:
    return any(map(_is_negation, _words(text)))


def _is_negation(word: str) -> bool:
    return word in _NEGATIONS or word.endswith("n't")


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())
