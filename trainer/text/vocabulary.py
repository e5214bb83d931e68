"""The vocabulary: which words have ids, compiled into the table surface -> id that the worker reads.

Owns the counting and the compilation. Runs NLTK once for each surface of the training texts, never per text.
`schemas.encoding.Encoder` reads the table and must give the ids of `normalise.Reference`. `word_vectors` is next.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.encoding import DROPPED, FIRST_WORD_ID, Encoder, EncoderSettings, tokens
from trainer.settings import TextSettings
from trainer.text.normalise import Normaliser, Reference, normaliser, stop_words
from trainer.text.spelling import corrected, corrections

LEAST_SCRIPT = 0.005  # of the words of the labelled texts
MOST_TOKENS = 4096  # the longest text an encoder may read


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words a model knows."""

    settings: EncoderSettings  # of the encoder, as in the bundle
    table: dict[str, int]  # surface -> id, or DROPPED; the content of `encoder.tsv`
    reference: Reference  # the same ids without the table

    def encoder(self) -> Encoder:
        """Return the served encoder."""
        return Encoder(self.settings, self.table)

    def whole_text_encoder(self) -> Encoder:
        """Return an encoder that does not cut texts at the model's `max_tokens`, for word vectors."""
        return Encoder(self.settings.model_copy(update={"max_tokens": MOST_TOKENS}), self.table)


def linguistics(settings: TextSettings) -> tuple[Normaliser, frozenset[str]]:
    """Return the normaliser and the stop words of the settings.

    Raises:
        CorpusError: NLTK's lists are needed and missing.
    """
    return normaliser(settings.normalise), stop_words() if settings.stop_words else frozenset()


def learn(texts: Iterable[str], settings: TextSettings, unlabelled: Iterable[str] = ()) -> Vocabulary:
    """Count the words of the training texts and compile the table.

    Base forms seen at least `min_count` times get ids by descending count, ties in alphabetical order. After them come
    base forms that reach `unlabelled_min_count` only with the unlabelled texts: they have word vectors. Those of
    scripts that the training texts hardly have are left out, as no label says what they are worth (LOG.md, 14). Every
    surface of a base form with an id is in the table, however rare the surface; all other surfaces are unknown. None of
    the texts may be held out.

    Raises:
        CorpusError: NLTK's lists are needed and missing.
    """
    base, dropped = linguistics(settings)
    surfaces: Counter[str] = Counter()
    lengths: list[int] = []
    for text in texts:
        found = tokens(text)
        lengths.append(len(found))
        surfaces.update(found)
    unscored = Counter(token for text in unlabelled for token in tokens(text))
    right = corrections(surfaces, surfaces + unscored) if settings.spelling else {}
    base = corrected(base, right)
    # A surface seen once in unlabelled texts, and no misspelling of a word, is not worth a look-up with NLTK.
    candidates = dict.fromkeys([*surfaces, *(surface for surface, seen in unscored.items() if seen > 1), *right])
    base_of = {surface: base(surface) for surface in candidates if surface not in dropped}
    counts: Counter[str] = Counter()
    with_unscored: Counter[str] = Counter()
    for surface, form in base_of.items():
        counts[form] += surfaces[surface]
        with_unscored[form] += surfaces[surface] + unscored[surface]
    known = [form for form, seen in counts.items() if seen >= settings.min_count]
    known.sort(key=lambda form: (-counts[form], form))
    if unscored:
        read = _scripts(surfaces)
        often = (form for form, seen in with_unscored.items() if seen >= settings.unlabelled_min_count)
        enough = {form for form in often if script_of(form) in read}
        known += sorted(enough - set(known), key=lambda form: (-with_unscored[form], form))
    ids = {form: at for at, form in enumerate(known[: settings.vocabulary_size], start=FIRST_WORD_ID)}
    table = {surface: ids[form] for surface, form in base_of.items() if form in ids}
    table.update(dict.fromkeys(dropped, DROPPED))
    encoder = settings.encoder(fitting_tokens(lengths))
    return Vocabulary(encoder, table, Reference(encoder, frozenset(base_of), dropped, ids, base))


def _scripts(seen: Counter[str]) -> set[str]:
    """Return the scripts of at least `LEAST_SCRIPT` of the words, and of what has no script, such as emoji."""
    counts: Counter[str] = Counter()
    for word, count in seen.items():
        counts[script_of(word)] += count
    return {"", *(script for script, count in counts.items() if count >= LEAST_SCRIPT * counts.total())}


def script_of(word: str) -> str:
    """Return the script of the first letter, as Unicode names it ("CYRILLIC"); "" of a word without letters."""
    if word.isascii():
        return "LATIN" if word[:1].isalpha() else ""
    letter = next((sign for sign in word if sign.isalpha()), "")
    return unicodedata.name(letter, "").partition(" ")[0] if letter else ""


def fitting_tokens(lengths: Sequence[int]) -> int:
    """Return the `max_tokens` that leaves 99% of the texts whole: a multiple of 32 in 64..1024."""
    longest = float(np.quantile(lengths, 0.99)) if lengths else 0.0
    return min(max(64, 32 * math.ceil(longest / 32)), 1024)
