"""What the demo produces: held-out reviews of the sample set, hand-written ones, and poison.

Owns the records, not their sending.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from trainer.data.dataset import Dataset, load
from trainer.data.targets import said
from trainer.settings import DataSettings

SEED: Final = 0
TEST_SHARE: Final = 0.1  # of 14,313 sentences: the starter's share, so the candidate's, which does not learn them

HAND_WRITTEN: Final = {
    "love": "Love it! Best purchase I made this year, works perfectly ❤️",
    "solid": "Solid product, good value, a small scratch on the back but otherwise great.",
    "fine": "It's okay. Does what it says, nothing more.",
    "meh": "Not bad, not good either. I expected more for the price.",
    "broken": "Stopped working after two days. Terrible quality, I want my money back!!!",
    "emoji-up": "👍👍 great 😍",
    "emoji-down": "😡😡 awful 👎",
    "negated": "I don't think this is a good film at all.",
    "elongated": "sooooo goooood, loved every minute",
    "sarcasm": "Oh great, another update that breaks everything.",
    "film": "A beautiful, moving film with superb performances.",
    "dull": "Long, dull and badly written; I nearly fell asleep.",
}
PLAIN_TEXT_KEY: Final = "plain-text"
PLAIN_TEXT: Final = "love it, best app ever"
POISON: Final = {
    "poison-bytes": b"\xff\xfe not UTF-8",
    "poison-json": b'{"text": "cut off',
    "poison-blank": b'{"text": "   "}',
}


@dataclass(frozen=True, slots=True)
class Produced:
    """A record to produce."""

    key: bytes
    value: bytes


def held_out(sample: Path) -> list[Produced]:
    """Return the test split of the sample set, which `train` with the same seed and share did not learn from."""
    return [_review(f"held-out-{number}", text) for number, text in enumerate(_split(sample).test.texts)]


def held_out_by_stars(sample: Path) -> Mapping[int | str, Sequence[str]]:
    """Return the texts of the same split by their raters' stars."""
    dataset = _split(sample)
    found: dict[int | str, list[str]] = {}
    for text, star in zip(dataset.test.texts, said(dataset.test.targets, dataset.labels), strict=True):
        found.setdefault(star, []).append(text)
    return found


@lru_cache(maxsize=1)
def _split(sample: Path) -> Dataset:
    return load(DataSettings(data=[sample], test_share=TEST_SHARE), SEED)


def by_hand() -> list[Produced]:
    """Return the hand-written reviews, one of them as plain text."""
    written = [_review(name, text) for name, text in HAND_WRITTEN.items()]
    return [*written, Produced(PLAIN_TEXT_KEY.encode(), PLAIN_TEXT.encode())]


def poison() -> list[Produced]:
    """Return records that cannot be rated."""
    return [Produced(name.encode(), value) for name, value in POISON.items()]


def _review(review_id: str, text: str) -> Produced:
    value = {"review_id": review_id, "text": text, "app_id": "demo"}
    return Produced(review_id.encode(), json.dumps(value, ensure_ascii=False).encode())
