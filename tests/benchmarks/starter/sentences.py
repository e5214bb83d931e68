"""Sentences of our own, with the stars a person would give: what reviews say too seldom to be learned from them.

Owns the templates: negation, faint praise, irony, comparison with before, disappointment. The demo's sentences are none
of them, and a test compares the two.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_MOST: Final = 50  # sentences of a template
_THINGS: Final = (
    "app", "game", "film", "movie", "book", "product", "service", "phone", "dress", "tool", "course", "show", "version",
    "shirt", "website", "story",
)  # fmt: skip
_GOOD: Final = ("good", "great", "useful", "worth it", "well made", "helpful", "nice", "special", "interesting")
_WORKS: Final = ("works", "starts", "loads", "opens", "syncs", "responds")
_BREAKS: Final = (
    "crashes", "freezes", "deletes my data", "logs me out", "drains my battery", "loses my settings", "hides the menu",
    "shows more ads", "stops working", "ruins it", "breaks the search", "breaks my phone", "is slower",
)  # fmt: skip
_FLAWS: Final = ("crashed", "let me down", "failed", "broken down", "lagged", "given me trouble", "disappointed me")
_CHANGES: Final = ("update", "release", "version", "redesign", "patch", "bug", "change")

# Stars -> templates; each {slot} is a tuple of choices.
_SLOTS: Final[dict[str, Sequence[str]]] = {
    "thing": _THINGS,
    "good": _GOOD,
    "works": _WORKS,
    "breaks": _BREAKS,
    "flaw": _FLAWS,
    "change": _CHANGES,
    "another": ("one more", "yet another", "a new", "the next", "again a", "another"),
    "hooray": ("Great", "Wonderful", "Fantastic", "Brilliant", "Lovely", "Oh wonderful", "Oh nice", "Awesome"),
    "is": ("is", "was"),
    "not": ("don't", "do not", "can't", "cannot"),
    "isnt": ("isn't", "is not", "was not", "wasn't"),
    "noun": ("problems", "crashes", "bugs", "errors", "ads", "issues", "faults", "delays", "surprises", "hidden fees"),
    "ok": ("okay", "ok", "fine", "alright", "average", "decent", "so so"),
    "faint": (
        "but nothing special",
        "nothing great",
        "could be better",
        "that is all",
        "not more",
        "but I have seen better",
        "for a while",
        "I guess",
        "neither more nor less",
        "but no more than that",
    ),
    "best": ("perfect", "great", "excellent", "the best", "amazing", "wonderful"),
    "now": (
        "now it is slow",
        "now it only shows ads",
        "now it crashes",
        "not any more",
        "now it costs too much",
        "it went downhill",
        "the last changes spoiled it",
    ),
    "from": (
        "",
        " from this brand",
        " after all the praise",
        " after the reviews",
        " from you",
        " of it",
        " for that money",
    ),
    "bored": ("dull", "boring", "too long", "slow", "clumsy", "poorly acted", "predictable", "lifeless"),
    "moved": ("moving", "gripping", "beautifully told", "funny", "well acted", "charming", "superb"),
    "very": ("", "really ", "very ", "so "),
    "end": (".", "", "!"),
}
_TEMPLATES: Final[dict[int, Sequence[str]]] = {
    1: (
        "{hooray}, {another} {change} and it {breaks}{end}",
        "{hooray}, {another} {change} which {breaks}{end}",
        "{hooray}, now it {breaks}{end}",
        "Thanks for the {change}, now it {breaks}{end}",
        "Nice job, the {change} {breaks}{end}",
        "I would never recommend the {thing}{end}",
        "Don't waste your money on this {thing}{end}",
        "Could not be worse{end}",
        "Not worth the money, the {thing} {breaks}{end}",
        "There is nothing good about this {thing}{end}",
        "The {thing} {is} {bored}, {bored} and {bored}{end}",
        "I {not} recommend this {thing} to anybody{end}",
        "It is of no use{end}",
        "{noun}, {noun} and more {noun}{end}",
        "Why does it show so many {noun}?",
    ),
    2: (
        "I {not} say that the {thing} {is} {good}{end}",
        "I do not find this {thing} {good}{end}",
        "I don't think the {thing} {is} {good}{end}",
        "I don't think it is {good} at all{end}",
        "I do not think this {thing} is {good}{end}",
        "I doubt that this {thing} is {good}{end}",
        "I would not call it {good}{end}",
        "Nobody would call this {thing} {best}{end}",
        "Used to be {best}{end}",
        "The {thing} was better before the {change}{end}",
        "The {thing} {isnt} {good}{end}",
        "This {thing} {isnt} {good} at all{end}",
        "The {thing} used to be {best}, {now}{end}",
        "It was {best} once, {now}{end}",
        "I had hoped for more{from}{end}",
        "Less than I had hoped for{from}{end}",
        "I expected something better{from}{end}",
        "Not as {good} as it was before{end}",
        "The {thing} {is} {very}{bored}{end}",
    ),
    3: (
        "The {thing} {is} {ok}, {faint}{end}",
        "{ok}, {faint}{end}",
        "Neither good nor bad{end}",
        "I like the {thing}, but it {breaks}{end}",
        "{very}{good}, but it {breaks}{end}",
        "The {thing} is {best} when it {works}, but it {breaks}{end}",
        "Not great, not terrible, the {thing} {is} {ok}{end}",
        "Not bad, but not {good} either{end}",
        "It does its job, {faint}{end}",
        "The {thing} {is} not bad and not {best}{end}",
        "Some parts are {good}, others are {bored}{end}",
    ),
    4: (
        "Not bad at all, this {thing}{end}",
        "Not bad{end}",
        "It {isnt} bad{end}",
        "Not {bored} at all{end}",
        "The {thing} {is} not bad at all{end}",
        "Better than I had expected{end}",
        "{very}{good}, only the {thing} could be cheaper{end}",
        "I like it, apart from small things{end}",
        "Quite {good}, with a few small flaws{end}",
        "Almost {best}, one small thing is missing{end}",
    ),
    5: (
        "It never {breaks}{end}",
        "Never {breaks}{end}",
        "The {thing} never {breaks}, {best}{end}",
        "No {noun}{end}",
        "No {noun} and no {noun}{end}",
        "Not one of the {noun} that others have{end}",
        "I have never had any {noun} with it{end}",
        "No complaints{end}",
        "Can't fault it{end}",
        "I don't regret it{end}",
        "You won't be disappointed{end}",
        "I don't know what I would do without it{end}",
        "It has never {flaw}{end}",
        "The {thing} has not {flaw} once{end}",
        "I have no complaints about this {thing}{end}",
        "Nothing to complain about, it simply {works}{end}",
        "You can't go wrong with this {thing}{end}",
        "I can't find any fault with this {thing}{end}",
        "Could not be happier with this {thing}{end}",
        "I could not ask for a better {thing}{end}",
        "Not a single problem, it {works} every time{end}",
        "The {thing} {is} {moved} and {moved}{end}",
        "What a {moved} {thing}{end}",
    ),
}


def sentences(seed: int = 0) -> list[tuple[str, int]]:
    """Return the sentences with their stars, in an order that is always the same."""
    chance = random.Random(seed)  # noqa: S311 - chooses words
    found: dict[str, int] = {}
    for stars, templates in _TEMPLATES.items():
        for template in templates:
            made = {_filled(template, chance) for _ in range(_MOST)}
            found.update(dict.fromkeys(sorted(made), stars))
    return sorted(found.items())


def write_sentences(path: Path) -> Path:
    """Write them as a file of reviews, and return it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("content", "score"), *sentences()])
    return path


def _filled(template: str, chance: random.Random) -> str:
    text = re.sub(r"\{(\w+)\}", lambda slot: chance.choice(_SLOTS[slot[1]]), template)
    text = text[0].upper() + text[1:]
    return text if chance.random() < 0.7 else text.lower()
