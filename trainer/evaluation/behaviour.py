"""Behaviour tests: what a reader expects of a rating, by sentences made from templates.

Owns the families and what passes in each: checklists in the sense of Ribeiro et al. 2020 ("Beyond Accuracy"). The
sentences are our own, so they may be shown anywhere; none is a review, and none is learned. Held-out reviews say how
often a model is right, these say what it cannot read. For models of 1 to 5 stars only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from schemas.decision import Decision
from schemas.inference import Model, Scores

STARS = [1, 2, 3, 4, 5]
SHOWN = 4  # failing sentences of a family
THINGS = ("app", "product", "update", "service")
NAMES = ("Zentavo", "Paytrix", "Spotify", "Amazon", "Lumiqo", "WhatsApp")


@dataclass(frozen=True, slots=True)
class Rated:
    """What the model says of one sentence."""

    stars: int
    expected: float
    uncertain: bool


@dataclass(frozen=True, slots=True)
class Check:
    """Sentences, and whether their ratings are what a reader expects."""

    texts: tuple[str, ...]
    passes: Callable[[Sequence[Rated]], bool]


@dataclass(frozen=True, slots=True)
class Family:
    """One family's result: how many checks passed, and some that did not."""

    name: str
    checks: int
    passed: int
    failing: list[str]

    @property
    def share(self) -> float:
        """The share of the checks that passed."""
        return self.passed / self.checks


def behave(model: Model, min_confidence: float, shown: int | None = SHOWN) -> list[Family]:
    """Rate every sentence and return the families; empty when the labels are not 1 to 5 stars.

    Each family has its first `shown` failing checks; None: all of them.
    """
    decision = model.decision
    if not isinstance(decision, Decision) or decision.labels != STARS:
        return []
    found = []
    for name, checks in families().items():
        scores = model.score([text for check in checks for text in check.texts])
        rated = _rated(scores, decision, min_confidence)
        failing, at = [], 0
        for check in checks:
            its = rated[at : at + len(check.texts)]
            at += len(check.texts)
            if not check.passes(its):
                said = ", ".join(f'"{text}" {one.stars}' for text, one in zip(check.texts, its, strict=True))
                failing.append(said)
        found.append(Family(name, len(checks), len(checks) - len(failing), failing[:shown]))
    return found


def _rated(scores: Scores, decision: Decision, min_confidence: float) -> list[Rated]:
    expected_stars = decision.expected_ratings(scores.probabilities).tolist()
    uncertain = (scores.confidences < min_confidence) | (scores.known_words == 0)
    return [
        Rated(decision.labels[choice], expected, doubtful)
        for choice, expected, doubtful in zip(scores.choices.tolist(), expected_stars, uncertain.tolist(), strict=True)
    ]


def families() -> dict[str, list[Check]]:
    """Return the checks of each family."""
    return {
        "negation": [
            *_each(_GOOD_BY_NEGATION, _high),
            *_each(_BAD_BY_NEGATION, _low),
        ],
        "intensity": [
            *(
                Check((f"a {weak} {word} {thing}", f"a {strong} {word} {thing}"), _rises)
                for word, thing in product(("good", "useful"), THINGS)
                for weak, strong in (("fairly", "really"),)
            ),
            *(
                Check((f"this {thing} is extremely {word}", f"this {thing} is a bit {word}"), _rises)
                for word, thing in product(("slow", "annoying", "confusing"), THINGS)
            ),
        ],
        "before and now": [*_each(_WORSE_NOW, _low), *_each(_BETTER_NOW, _high)],
        "emoji": [
            *_each(("\U0001f621", "\U0001f44e", "\U0001f92c\U0001f92c", ":(", "\U0001f620 again"), _low),
            *_each(("\U0001f44d", "\u2764\ufe0f", "\U0001f60d\U0001f60d", ":)", "\U0001f970 so far"), _high),
        ],
        "spelling": [Check(pair, _near) for pair in _MISSPELLED],
        "capitals": [Check((text, text.upper()), _same) for text in _PLAIN],
        "mixed": [Check((bad, f"{good}, but {bad}", good), _between) for good, bad in product(_GOOD, _BAD)],
        "questions": _each(_QUESTIONS, _undecided),
        "stars as text": [
            *_each(
                ("5 stars", "five stars from me", "5/5", "10 out of 10", "full five stars!", "easily 5 stars"), _high
            ),
            *_each(("1 star", "one star", "0/5", "zero stars", "I would give 0 stars if I could", "1 out of 5"), _low),
        ],
        "names": [Check(tuple(text.format(name) for name in NAMES), _all_same) for text in _NAMED],
        "unreadable": _each(_UNREADABLE, _uncertain),
    }


def _each(texts: Sequence[str], passes: Callable[[Rated], bool]) -> list[Check]:
    filled = [text.format(thing=thing) for text in texts for thing in (THINGS if "{thing}" in text else ("",))]
    return [Check((text,), lambda rated: passes(rated[0])) for text in filled]


def _low(rated: Rated) -> bool:
    return rated.stars <= 2


def _high(rated: Rated) -> bool:
    return rated.stars >= 4


def _undecided(rated: Rated) -> bool:
    """A question without an opinion is rated in the middle, or the rating is uncertain."""
    return rated.uncertain or 2 <= rated.stars <= 4


def _uncertain(rated: Rated) -> bool:
    return rated.uncertain


def _rises(rated: Sequence[Rated]) -> bool:
    return rated[0].expected < rated[1].expected


def _between(rated: Sequence[Rated]) -> bool:
    return rated[0].expected < rated[1].expected < rated[2].expected


def _same(rated: Sequence[Rated]) -> bool:
    return rated[0].stars == rated[1].stars


def _near(rated: Sequence[Rated]) -> bool:
    return abs(rated[0].stars - rated[1].stars) <= 1


def _all_same(rated: Sequence[Rated]) -> bool:
    return len({one.stars for one in rated}) == 1


_GOOD_BY_NEGATION = (
    "not bad at all", "this {thing} never crashes", "no complaints about this {thing}", "I can't fault this {thing}",
    "no problems so far with the {thing}", "you won't regret this {thing}", "I couldn't be happier with this {thing}",
    "nothing wrong with this {thing}", "it doesn't crash and it isn't slow", "the {thing} has never let me down",
)  # fmt: skip
_BAD_BY_NEGATION = (
    "not good at all", "I don't like this {thing}", "this {thing} is not worth the money", "this {thing} never works",
    "I would not recommend this {thing}", "nothing works in this {thing}", "the {thing} isn't helpful",
    "no support and no answer", "I can't use the {thing} anymore", "I am not happy with this {thing}",
)  # fmt: skip
_WORSE_NOW = (
    "this {thing} used to be great, now it is awful", "it was perfect until the last change ruined it",
    "I loved the old {thing}, the new one is useless", "it worked well before, now it crashes all the time",
)  # fmt: skip
_BETTER_NOW = (
    "this {thing} used to be awful, now it is great", "it crashed a lot before, now it works perfectly",
    "I hated the old {thing}, the new one is excellent",
)  # fmt: skip
_MISSPELLED = (
    ("terrible app", "terible app"), ("excellent app", "exelent app"), ("awesome", "awsome"), ("amazing", "amazinggg"),
    ("very good", "veryyy gooood"), ("worst app ever", "worsttt app everrr"), ("useless", "useles"),
    ("horrible experience", "horible experiance"), ("I love it", "i luv it"), ("great service", "gr8 service"),
    ("it does not work", "it dosent work"), ("beautiful", "beatiful"), ("disappointed", "dissapointed"),
    ("recommended", "recomended"), ("waste of time", "wast of time"),
)  # fmt: skip
_PLAIN = ("great app", "worst app ever", "it keeps crashing", "love it", "waste of money", "works fine", "so slow")
_GOOD = ("the design is beautiful", "it has great features", "I love the idea", "the quality is excellent")
_BAD = ("it crashes all the time", "the support is terrible", "it is full of ads", "it stopped working")
_QUESTIONS = (
    "How do I change my password?", "Where can I find the settings?", "Does it work without internet?",
    "Which size should I order?", "When is the next version out?", "Is there a family plan?", "Can I pay by card?",
    "What does this button do?",
)  # fmt: skip
_NAMED = (
    "{} is great, I use it every day", "{} keeps crashing since the update", "I deleted {}, it is useless",
    "thank you {} for this wonderful app", "{} charged me twice and nobody answers", "{} is okay, nothing special",
    "I switched from {} and do not look back", "the best thing about {} is how easy it is",
)  # fmt: skip
_UNREADABLE = (
    "qzxwv plorkt vrimsk", "\u0436\u0436\u0436 \u0449\u0449\u0449 \u044a\u044a\u044a", "\ua4d0\ua4d1\ua4d2",
    "\u16a0\u16a2\u16a6 \u16a8\u16b1\u16b2", "...", "???", "xkcdqwpfj", "\u13e3\u13b3\u13a9",
)  # fmt: skip
