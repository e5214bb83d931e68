"""Words to their base forms with NLTK: the reference that the compiled table is held against.

Owns lemmas, stems, stop words, and the slow path from text to ids that looks every token up with NLTK. Runs at
training time only; `vocabulary` compiles it into the table the worker reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from schemas.encoding import DROPPED, FIRST_WORD_ID, UNKNOWN_ID, EncoderSettings, squeezed, tokens
from trainer.errors import CorpusError

Normaliser = Callable[[str], str]

# A review's stars hang on these ("not good", "too slow"), so they stay when stop words go; so does every "...n't".
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
    """Return NLTK's English stop words, case folded, without those that turn a sentence around.

    Raises:
        CorpusError: the list is not on this machine.
    """
    from nltk.corpus import stopwords

    try:
        words = stopwords.words("english")
    except LookupError as error:
        raise _missing("stopwords") from error
    everyday = {word.casefold() for word in words}
    negating = {word for word in everyday if word.endswith("n't") or f"{word}'t" in everyday}
    return frozenset(everyday - negating - KEPT)


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
    """The uncompiled path: every token goes through NLTK each time it is met.

    A surface outside the lexicon is unknown whatever its base form is: the table is finite, and a word never seen in
    training has taught the model nothing about its ending.

    Attributes:
        settings: as the bundle's.
        lexicon: the surfaces seen in training.
        dropped: stop words, empty when they are kept.
        ids: base form -> id.
        base: surface -> base form.
    """

    settings: EncoderSettings
    lexicon: Set[str]
    dropped: Set[str]
    ids: Mapping[str, int]
    base: Normaliser

    def encode(self, text: str) -> list[int]:
        """Return the ids the served encoder must give, the slow way."""
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
