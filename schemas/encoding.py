"""Text -> ids: the one encoder, the same for the trainer that wrote its table and the worker that reads it.

Owns what a token is and which id it has. The linguistics (lemmas, stems, stop words) are done when the trainer
compiles the table, so the hot path is one compiled regular expression and dictionary look-ups, without NLTK.
`inference` is next.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from schemas.batch.encoder import FIRST_SIGN, MOST_CHARS, SEPARATOR, BatchEncoder
from schemas.batch.id_rows import PAD_ID, Counts, IdRows, Ids
from schemas.batch.plain_text import MOST_SIGNS, PlainTexts

__all__ = ["PAD_ID", "Ids"]  # and what is below

UNKNOWN_ID = 1
FIRST_WORD_ID = 2
DROPPED = -1  # in a table: the token is a stop word and leaves no id

# One alternative per line, first match wins:
# - a word of letters and digits with inner apostrophes (don't, l'app), but
# - a script written without spaces (kana, CJK ideographs, Hangul, Thai) gives one token a character;
# - a run of one mark that carries feeling (!!, ???, ...) is one token, so its length can be folded;
# - any other visible sign (emoji, currency, punctuation) is one token.
# Joiners and variation selectors are dropped, so every variant of an emoji is the same token.
_SPACELESS = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_INVISIBLE = "\u200b-\u200f\u2060\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
# Marks that belong to the letter before them; Python's \w leaves them out. Latin and Cyrillic accents, Hebrew and
# Arabic points, and the vowel signs of the Indic blocks (Devanagari to Sinhala).
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
)
_LETTER = rf"[^\W_{_SPACELESS}]"
_WORD = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*"
_TOKEN = re.compile(
    rf"[{_SPACELESS}]"
    rf"|{_WORD}(?:'{_WORD})*"
    r"|!+|\?+|\.\.+"
    rf"|[^\w\s{_INVISIBLE}]"
)
# The same rule where no letter has a mark and no sign is invisible: a sixth less work on plain English.
_ASCII_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*|!+|\?+|\.\.+|[^\w\s]")
_SIGN = re.compile(rf"[^\w\s{_INVISIBLE}]")
_MARK = re.compile(rf"[{_MARKS}]")
_NOTHING = re.compile(rf"[\s{_INVISIBLE}]")
_SOME_SIGN = "\U0010fffd"  # of private use: stands for the signs that no table has
_MANY_CHARS = 2_000  # fewer are split faster by the regular expression
_TAG = re.compile(r"<[a-zA-Z/!][^<>]{0,60}>")
_RUN_OF_THREE = re.compile(r"(.)\1{2,}")
_RUN = re.compile(r"(.)\1+")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc`", "'"))  # curly, modifier, grave


class EncoderSettings(BaseModel):
    """How text becomes ids; part of the manifest. `scheme` names the token rules of this module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Literal["words-1"] = "words-1"
    max_tokens: Annotated[int, Field(ge=8, le=4096, description="Longer texts keep head and tail.")] = 256
    head_share: Annotated[float, Field(ge=0, le=1, description="Share of max_tokens kept from the head.")] = 0.5
    squeeze: Annotated[bool, Field(description="Look an unknown 'sooo' up as 'soo', then 'so'.")] = True
    unknown_buckets: Annotated[
        int, Field(ge=0, le=65_536, description="Unknown words share this many hashed ids; 0: one id.")
    ] = 0
    normalise: Literal["none", "lemma", "stem"] = "none"
    stop_words: Annotated[bool, Field(description="Stop words leave no id.")] = False


def tokens(text: str) -> list[str]:
    """Split a text into case-folded tokens, in order; the rule every table is built on.

    HTML tags are dropped; apostrophes of every shape, compatibility forms (NFKC) and case are folded.
    """
    rule = _ASCII_TOKEN if text.isascii() else _TOKEN
    text = fold(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return rule.findall(text)


def fold(text: str) -> str:
    """Return a text as `tokens` reads it: without the differences that make no other token."""
    if "`" in text:
        text = text.replace("`", "'")
    text = text.casefold()
    if text.isascii():
        return text
    return _folded(text)


def _folded(text: str) -> str:
    # The acute accent first: NFKC makes it a space and a combining mark. Case again: NFKC makes new capitals.
    return unicodedata.normalize("NFKC", text.replace("\u00b4", "'")).casefold().translate(_APOSTROPHES)


def token_matches(folded: str) -> Iterator[re.Match[str]]:
    """Yield the tokens of a folded text as `tokens` finds them, each with its place."""
    return _TOKEN.finditer(_TAG.sub(lambda tag: " " * len(tag[0]), folded))


def _plain_form(char: str) -> str | None:
    """Return the ASCII that a character stands for, or itself when it is a token that no neighbour changes."""
    form = _folded(char.casefold())
    if form.isascii():
        return form
    if len(form) > 1 or unicodedata.category(form).startswith("M") or _MARK.fullmatch(form):
        return None  # a mark joins the letter before it
    if _NOTHING.fullmatch(form):
        return " "
    return form if _SIGN.fullmatch(form) else None


def squeezed(token: str) -> Iterable[str]:
    """Yield the shorter spellings of an elongated token: runs of three or more as two, then all runs as one."""
    if _RUN_OF_THREE.search(token):
        yield _RUN_OF_THREE.sub(r"\1\1", token)
        yield _RUN.sub(r"\1", token)


def _is_mark(token: str) -> bool:
    """Tell punctuation from words, numbers and emoji."""
    return unicodedata.category(token[0])[0] == "P" or (token.isascii() and not token[0].isalnum())


class _Table(dict[str, int]):
    """Surface form -> id; a missing word is resolved once and kept, up to a bound.

    The bound limits the memory that new words take; past it a missing word is resolved each time.
    """

    def __init__(self, known: Mapping[str, int], settings: EncoderSettings, first_bucket: int) -> None:
        super().__init__(known)
        self._settings = settings
        self._first_bucket = first_bucket
        self._bound = len(known) + 100_000

    def __missing__(self, token: str) -> int:
        found = self._resolve(token)
        if len(self) < self._bound:
            self[token] = found
        return found

    def _resolve(self, token: str) -> int:
        if self._settings.squeeze:
            for shorter in squeezed(token):
                found = self.get(shorter, UNKNOWN_ID)
                if found != UNKNOWN_ID and found < self._first_bucket:
                    return found
        buckets = self._settings.unknown_buckets
        if buckets == 0:
            return UNKNOWN_ID
        # CRC-32 rather than hash(): the same id in every process, on every machine.
        return self._first_bucket + zlib.crc32(token.encode("utf-8", "surrogatepass")) % buckets


def _untagged(text: str | None) -> str | None:
    """Return a plain text without HTML tags; None when it must be read alone."""
    if text is None or len(text) > MOST_CHARS or SEPARATOR in text:
        return None
    if "`" in text:
        text = text.replace("`", "'")
    return _TAG.sub(" ", text) if "<" in text else text


_NO_TOKENS = np.array([UNKNOWN_ID], dtype=np.int32)  # of a text without tokens


class Encoder:
    """Turns texts into ids with a table compiled by the trainer.

    Args:
        settings: from the manifest.
        table: surface form -> id (`FIRST_WORD_ID` and up, or `DROPPED`), case-folded as `tokens` does.

    Raises:
        ValueError: the table has an id that is neither a word's nor `DROPPED`.
    """

    def __init__(self, settings: EncoderSettings, table: Mapping[str, int]) -> None:
        wrong = next((f"{t!r}: {i}" for t, i in table.items() if i < FIRST_WORD_ID and i != DROPPED), None)
        if wrong is not None:
            raise ValueError(f"encoder table: {wrong} is not a word id (>= {FIRST_WORD_ID}, or {DROPPED} to drop)")
        self.settings = settings
        self.first_bucket = max(table.values(), default=FIRST_WORD_ID - 1) + 1
        self.first_bucket = max(self.first_bucket, FIRST_WORD_ID)
        self.size = self.first_bucket + settings.unknown_buckets
        self._drops = DROPPED in table.values()
        self._is_mark = np.zeros(self.size, dtype=bool)
        self._is_mark[[at for token, at in table.items() if at != DROPPED and _is_mark(token)]] = True
        self._look_up = _Table(table, settings, self.first_bucket).__getitem__
        signs = [token for token in table if len(token) == 1 and not token.isascii() and _plain_form(token) == token]
        with_byte = {sign: chr(FIRST_SIGN + number) for number, sign in enumerate([*signs[:MOST_SIGNS], _SOME_SIGN])}
        # Signs that no table has are one: they have the same id, unless there are buckets.
        others = None if settings.unknown_buckets else with_byte[_SOME_SIGN]
        self._plain = PlainTexts(with_byte | dict.fromkeys(signs[MOST_SIGNS:]), others, _plain_form)
        self._batch = BatchEncoder(table, [*with_byte], self._look_up)
        self._head = round(settings.max_tokens * settings.head_share)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text: `int32[n]`, 1 <= n <= max_tokens; a text without tokens is one unknown."""
        return self._fitted(np.array([*map(self._look_up, tokens(text))], dtype=np.int32))

    def encode_all(self, texts: Sequence[str]) -> IdRows:
        """Return the ids of each text, in order, as `encode` does; most are split in one call, which is cheaper."""
        if sum(map(len, texts)) < _MANY_CHARS:
            return IdRows.of([*map(self.encode, texts)])
        plain = [_untagged(text if text.isascii() else self._plain.plain(text)) for text in texts]
        rows = self._fitted_all(self._batch.encode([text for text in plain if text is not None]))
        if len(rows) == len(texts):
            return rows
        alone = [number for number, text in enumerate(plain) if text is None]
        return rows.with_others(IdRows.of([self.encode(texts[number]) for number in alone]), alone)

    def _fitted(self, ids: Ids) -> Ids:
        """Return the ids of a text that the model reads, `int32[n]`."""
        if self._drops:
            ids = ids[ids != DROPPED]
        if len(ids) > self.settings.max_tokens:
            tail = self.settings.max_tokens - self._head
            ids = np.concatenate([ids[: self._head], ids[len(ids) - tail :]])
        return ids if len(ids) else _NO_TOKENS

    def look_up(self, token: str) -> int:
        """Return the id of a token, as `tokens` gives it; `DROPPED` when it leaves none."""
        return self._look_up(token)

    def _fitted_all(self, rows: IdRows) -> IdRows:
        """Return the ids of each text that the model reads."""
        flat, ends = rows.flat, rows.ends
        if self._drops:
            kept = flat != DROPPED
            before = np.concatenate([[0], np.cumsum(kept)])
            flat, ends = flat[kept], before[ends]
        rows = IdRows(flat, ends)
        if len(rows) and (rows.lengths.min() == 0 or rows.lengths.max() > self.settings.max_tokens):
            return IdRows.of([self._fitted(row) for row in rows])
        return rows

    def unknown_count(self, ids: Ids) -> int:
        """Count the tokens of `int32[n]` that the table does not hold."""
        return int(np.count_nonzero(self._unknown(ids)))

    def word_counts(self, rows: IdRows) -> tuple[Counts, Counts]:
        """Return how many words each of N texts has, and how many of them the table holds: `int64[N]` twice.

        An emoji is a word, and so is each token that the table does not hold; punctuation that it holds is none.
        """
        if not len(rows):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        starts = rows.ends - rows.lengths
        words = np.add.reduceat(~self._is_mark[rows.flat], starts, dtype=np.int64)
        unknown = np.add.reduceat(self._unknown(rows.flat), starts, dtype=np.int64)
        return words, words - unknown

    def _unknown(self, ids: Ids) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = (ids == UNKNOWN_ID) | (ids >= self.first_bucket)
        return found
