"""Texts in one byte a character, for those whose tokens do not change by it.

Owns what each character becomes: ASCII stays, signs that are tokens by themselves (most emoji) get a byte each, what
shows nothing becomes a blank, and compatibility forms become the ASCII that they stand for. Letters of other scripts,
marks, and signs without a byte have no such form: `encoding` reads a text with one of those by its regular expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_MOST_KEPT: Final = 20_000  # characters whose form is remembered
_NO_FORM: Final = "\U0010ffff"  # no character, and in no text that has one byte a character
MOST_SIGNS: Final = 127


class PlainTexts(dict[int, str]):
    """Turns texts into plain ones.

    Args:
        signs: tokens of one character, and the byte of each as a character; None: it has no form.
        others: the byte of all other signs, when they have the same id; None: they have no form.
        form_of: returns what a character stands for: ASCII, or itself when it is a sign; None when neither holds.
    """

    def __init__(
        self, signs: Mapping[str, str | None], others: str | None, form_of: Callable[[str], str | None]
    ) -> None:
        super().__init__()
        self._signs = signs
        self._others = others
        self._form_of = form_of

    def plain(self, text: str) -> str | None:
        """Return a text that is not ASCII in Latin-1; None when it has no such form."""
        found = text.translate(self)
        return None if _NO_FORM in found else found

    def __missing__(self, code: int) -> str:
        char = chr(code)
        form = self._form_of(char)
        if form is not None and not form.isascii():
            form = self._signs.get(form, self._others)
        found = _NO_FORM if form is None else form
        if len(self) < _MOST_KEPT:
            self[code] = found
        return found
