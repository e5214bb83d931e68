"""Which side of a training run each review is on: training, validation or test.

Owns the rule, a function of the review's words and the seed, so that no text is on two sides and added reviews leave
the others where they are. `dataset` applies it, and `held_out` applies it again for `evaluate --part`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.encoding import tokens
from trainer.data.rows import Label

TRAIN, VALIDATION, TEST = range(3)
SPLIT = "every-label"  # the rule's name in the manifest; versions without a name were split by the hash alone

Groups = npt.NDArray[np.uint64]
Sides = npt.NDArray[np.int8]


def fold(text: str) -> str:
    """Return the text's words, case folded, without punctuation; two reviews with the same words count as the same.

    For a text without words: its punctuation and emoji.
    """
    found = tokens(text)
    return " ".join([token for token in found if token[0].isalnum()] or found)


def group(text: str) -> int:
    """Return a 64-bit hash of the folded text, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(fold(text).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def assign(
    groups: Groups, seed: int, validation_share: float, test_share: float, labels: Sequence[Label] | None = None
) -> Sides:
    """Return the side of each row, `int8[N]`: 0 train, 1 validation, 2 test.

    By the hash of the folded text and the seed: when rows are added, the others stay on their sides. With the rows'
    `labels`, each label with three different texts is on every side: where the hash gives it none, the texts next to
    the border of that side move there. An added row moves a text from training to a held-out side only where the hash
    had left its label nothing to learn from.
    """
    places = _places(groups, seed)
    sides = np.full(len(groups), TRAIN, dtype=np.int8)
    sides[places < test_share + validation_share] = VALIDATION
    sides[places < test_share] = TEST
    if labels is not None:
        fewest = int(test_share > 0), int(validation_share > 0)
        _keep_every_label(sides, groups, places, _members(labels), fewest)
    return sides


def _places(groups: Groups, seed: int) -> npt.NDArray[np.float64]:
    """Return each group's place in [0, 1)."""
    # SplitMix64's finaliser (Steele et al. 2014) mixes in the seed, so another seed gives an unrelated split.
    with np.errstate(over="ignore"):
        mixed = groups ^ (np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed / np.float64(2**64)


def _members(labels: Sequence[Label]) -> list[npt.NDArray[np.intp]]:
    """Return the rows of each label, the rarest label's last."""
    rows: dict[int | str, list[int]] = {}
    for row, label in enumerate(labels):
        for value in label if isinstance(label, tuple) else (label,):
            rows.setdefault(value, []).append(row)
    by_value = [
        np.array(rows[value], dtype=np.intp) for value in sorted(rows, key=lambda value: (str(type(value)), value))
    ]
    order = np.argsort([len(found) for found in by_value], kind="stable")[::-1]
    return [by_value[at] for at in order]


def _keep_every_label(
    sides: Sides,
    groups: Groups,
    places: npt.NDArray[np.float64],
    members: Sequence[npt.NDArray[np.intp]],
    fewest: tuple[int, int],
) -> None:
    """Move texts so that each label has `fewest` texts for test and validation, and one to learn from.

    `members` are the rows of each label; the rarest is last, so it wins a text with two labels.
    """
    for its_rows in members:
        found, first = np.unique(groups[its_rows], return_index=True)
        rows = its_rows[first]  # one of each text
        if len(found) <= sum(fewest):
            continue
        rows = rows[np.argsort(places[rows])]
        by_hash = np.bincount(sides[rows], minlength=3)
        test = min(max(by_hash[TEST], fewest[0]), len(rows) - 1 - fewest[1])
        held_out = min(max(by_hash[TEST] + by_hash[VALIDATION], test + fewest[1]), len(rows) - 1)
        at = np.arange(len(rows))
        wanted = np.where(at < test, TEST, np.where(at < held_out, VALIDATION, TRAIN))
        for row, side in zip(rows[sides[rows] != wanted], wanted[sides[rows] != wanted], strict=True):
            sides[groups == groups[row]] = side
