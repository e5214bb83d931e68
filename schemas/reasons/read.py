"""Text -> the tokens that a model reads, each with its place in the text.

Owns the way back from the folded text, in which tokens are found, to the text as it was written. `explain` is next.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.encoding import DROPPED, FIRST_WORD_ID, Encoder, fold, token_matches

_WORD: Final = re.compile(r"\s+|\S+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text.

    Attributes:
        folded: as the encoder's table has it.
        start: where it begins in the text, in code points.
        end: where it ends, itself not included.
        id: None when the model does not read it: a stop word, or in the middle of a text that is too long.
        known: whether the table has it.
    """

    folded: str
    start: int
    end: int
    id: int | None
    known: bool


def read(encoder: Encoder, text: str) -> list[Token]:
    """Return the tokens of a text, in order; those with an id have the ids of `encoder.encode`."""
    placed = [*_placed(text)]
    ids = [encoder.look_up(folded) for folded, _, _ in placed]
    kept = [at for at, found in enumerate(ids) if found != DROPPED]
    most = encoder.settings.max_tokens
    if len(kept) > most:
        head = round(most * encoder.settings.head_share)
        kept = kept[:head] + kept[len(kept) - (most - head) :]
    is_read = frozenset(kept)
    return [
        Token(folded, start, end, found if at in is_read else None, FIRST_WORD_ID <= found < encoder.first_bucket)
        for at, ((folded, start, end), found) in enumerate(zip(placed, ids, strict=True))
    ]


def _placed(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the tokens of a text with their places in it."""
    pieces = [*_pieces(text)]
    ends: list[int] = []  # of each piece in the folded text
    for _, _, folded in pieces:
        ends.append((ends[-1] if ends else 0) + len(folded))
    for match in token_matches("".join(folded for _, _, folded in pieces)):
        first, last = bisect_right(ends, match.start()), bisect_right(ends, match.end() - 1)
        yield match[0], pieces[first][0], pieces[last][1]


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the smallest parts of a text that fold by themselves: start, end, folded.

    That is a letter with its marks. A word whose letters change each other (Hangul from its parts) is one piece.
    """
    for word in _WORD.finditer(text):
        parts = []
        start = word.start()
        for at in range(word.start() + 1, word.end() + 1):
            if at == word.end() or not unicodedata.category(text[at]).startswith("M"):
                parts.append((start, at, fold(text[start:at])))
                start = at
        whole = fold(word[0])
        if "".join(folded for _, _, folded in parts) == whole:
            yield from parts
        else:
            yield word.start(), word.end(), whole
