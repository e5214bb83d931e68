"""Words to their base forms with NLTK: the reference that the compiled table must equal.

Owns lemmas, stems, stop words, and the slow path from text to ids that looks every token up with NLTK. Runs only
during training; `vocabulary` compiles it into the table that the worker reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from schemas.encoding import DROPPED, FIRST_WORD_ID, UNKNOWN_ID, EncoderSettings, squeezed, tokens
from trainer.errors import CorpusError

Normaliser = Callable[[str], str]

# These change a review's stars ("not good", "too slow"), so they are never stop words; nor is any "...n't".
KEPT = frozenset({"no", "nor", "not", "ain", "against", "but", "few", "only", "too", "very"})


def normaliser(kind: Literal["none", "lemma", "stem"]) -> Normaliser:
    """Return the function from a case-folded word to its base form.

    `lemma` is WordNet's noun lemma, else its verb lemma (Fellbaum 1998); `stem` is Snowball English (Porter 2001).

    Raises:
        CorpusError: WordNet is not on this machine.
    """
    if kind == "none":
        return str
    if kind == "stem":
        from nltk.stem.snowball import SnowballStemmer

        stem: Normaliser = SnowballStemmer("english").stem
        return stem
    return _lemmatiser()


def stop_words() -> frozenset[str]:
    """Return NLTK's English stop words, case folded, without negations and the words of `KEPT`.

    Raises:
        CorpusError: the list is not on this machine.
    """
    from nltk.corpus import stopwords

    try:
        words = stopwords.words("english")
    except LookupError as error:
        raise _missing("stopwords") from error
    folded = {word.casefold() for word in words}
    negations = {word for word in folded if word.endswith("n't") or f"{word}'t" in folded}
    return frozenset(folded - negations - KEPT)


def _lemmatiser() -> Normaliser:
    from nltk.stem import WordNetLemmatizer

    lemmatise = WordNetLemmatizer().lemmatize
    try:
        lemmatise("stars")
    except LookupError as error:
        raise _missing("wordnet") from error

    def lemma(word: str) -> str:
        noun: str = lemmatise(word, "n")
        if noun != word:
            return noun
        verb: str = lemmatise(word, "v")
        return verb

    return lemma


def _missing(corpus: str) -> CorpusError:
    return CorpusError(
        f"NLTK's {corpus} is not on this machine; run: python -m nltk.downloader wordnet stopwords "
        "(or point NLTK_DATA at a folder that has it)"
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """The path without the table: every token goes through NLTK.

    A surface outside the lexicon is unknown even when its base form is known: the table is finite, and lists only the
    surfaces of the training texts.
    """

    settings: EncoderSettings  # of the encoder, as in the bundle
    lexicon: Set[str]  # the surfaces of the training texts
    dropped: Set[str]  # stop words; empty when they are kept
    ids: Mapping[str, int]  # base form -> id
    base: Normaliser  # surface -> base form

    def encode(self, text: str) -> list[int]:
        """Return the ids that the served encoder must give."""
        found = [token_id for token in tokens(text) if (token_id := self._id(token)) != DROPPED]
        limit = self.settings.max_tokens
        if len(found) > limit:
            head = round(limit * self.settings.head_share)
            found = found[:head] + found[len(found) - (limit - head) :]
        return found or [UNKNOWN_ID]

    def _id(self, token: str) -> int:
        spellings = [token, *squeezed(token)] if self.settings.squeeze else [token]
        for spelling in spellings:
            if spelling in self.dropped:
                return DROPPED
            if spelling in self.lexicon:
                found = self.ids.get(self.base(spelling))
                if found is not None:
                    return found
        if not self.settings.unknown_buckets:
            return UNKNOWN_ID
        first = FIRST_WORD_ID + len(self.ids)
        return first + zlib.crc32(token.encode("utf-8", "surrogatepass")) % self.settings.unknown_buckets
