"""The vocabulary: which words have ids, compiled into the table surface -> id that the worker reads.

Owns the counting and the compiling. Never runs NLTK per text: each surface of the training texts goes through it
once. `schemas.encoding.Encoder` is next, and `normalise.Reference` is what it must equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.encoding import DROPPED, FIRST_WORD_ID, Encoder, EncoderSettings, tokens
from trainer.normalise import Normaliser, Reference, normaliser, stop_words
from trainer.settings import TextSettings


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words a model knows.

    Attributes:
        settings: the encoder's, as the bundle carries them.
        table: surface -> id, or DROPPED; what `encoder.tsv` holds.
        reference: the same ids without the table.
    """

    settings: EncoderSettings
    table: dict[str, int]
    reference: Reference

    def encoder(self) -> Encoder:
        """Return the served encoder."""
        return Encoder(self.settings, self.table)


def linguistics(settings: TextSettings) -> tuple[Normaliser, frozenset[str]]:
    """Return the normaliser and the stop words the settings ask for.

    Raises:
        CorpusError: NLTK's lists are needed and missing.
    """
    return normaliser(settings.normalise), stop_words() if settings.stop_words else frozenset()


def learn(texts: Iterable[str], settings: TextSettings) -> Vocabulary:
    """Count the words of the training texts and compile the table.

    Base forms seen at least `min_count` times get ids by falling count, ties in alphabetical order. Every surface
    of a base form that has an id is in the table, however rare the surface; others are left out and so unknown.

    Raises:
        CorpusError: NLTK's lists are needed and missing.
    """
    base, dropped = linguistics(settings)
    surfaces = Counter(token for text in texts for token in tokens(text))
    base_of = {surface: base(surface) for surface in surfaces if surface not in dropped}
    counts: Counter[str] = Counter()
    for surface, form in base_of.items():
        counts[form] += surfaces[surface]
    known = sorted((form for form, seen in counts.items() if seen >= settings.min_count), key=lambda f: (-counts[f], f))
    ids = {form: at for at, form in enumerate(known[: settings.vocabulary_size], start=FIRST_WORD_ID)}
    table = {surface: ids[form] for surface, form in base_of.items() if form in ids}
    table.update(dict.fromkeys(dropped, DROPPED))
    encoder = settings.encoder()
    return Vocabulary(encoder, table, Reference(encoder, frozenset(base_of), dropped, ids, base))
