"""Masks e-mail addresses, phone, card and IBAN numbers in texts that are printed or written to files.

Owns what counts as one. Numbers are checked, not only matched: cards by Luhn's digit and IBANs by their check digits
(python-stdnum), phone numbers by the numbering plans of `REGIONS` and of their country code (phonenumbers, Google's
libphonenumber). What no plan has is left, so an order number stays, unless it happens to be a phone number. Never
changes what is stored.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

Kind = Literal["e-mail", "iban", "card", "phone"]
KINDS: Final[tuple[Kind, ...]] = ("e-mail", "iban", "card", "phone")
# Where most app reviews are written; a number without a country code is looked up in the plan of each.
REGIONS: Final = ("US", "IN", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "BR", "MX", "ID", "TR", "JP", "KR", "AU", "NG")

_EMAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_IBAN: Final = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Z0-9])", re.IGNORECASE)
_CARD: Final = re.compile(r"(?<!\d)(?<!\d[.,])\d(?:[ -]?\d){12,18}(?![.,]?\d)")
# Digits with what people write between them; a date or an IP address is recognised below.
_PHONE: Final = re.compile(r"(?<![\w+])(?:\+|00)?\(?\d(?:[ \t().\u00a0/-]{0,3}\d){6,14}(?!\w)")
_NO_PHONE: Final = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4}|\d{1,3}(?:\.\d{1,3}){3}$")
_FEWEST_DIGITS: Final = 7  # of anything that is looked for, but an e-mail address
_FEWEST_BARE: Final = 9  # of a phone number that nothing else tells from a count


class Masker:
    """Masks texts, and counts what it masked.

    Args:
        keep: mask nothing.

    Attributes:
        counts: how many of each kind were masked.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.counts: Counter[Kind] = Counter()
        self._keep = keep

    def mask(self, text: str) -> str:
        """Return a text with `<e-mail>`, `<iban>`, `<card>` and `<phone>` in place of them."""
        if self._keep:
            return text
        if "@" in text:
            text = self._replaced(_EMAIL, "e-mail", text, len)
        if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:  # nearly every text
            return text
        text = self._replaced(_IBAN, "iban", text, _iban_length)
        text = self._replaced(_CARD, "card", text, _card_length)
        return self._replaced(_PHONE, "phone", text, _phone_length)

    def mask_id(self, text: str) -> str:
        """Return an id or a key masked where it cannot be taken for a number of its own: ids are often digits."""
        if self._keep:
            return text
        text = self._replaced(_EMAIL, "e-mail", text, len)
        text = self._replaced(_IBAN, "iban", text, _iban_length)
        return self._replaced(_PHONE, "phone", text, _phone_length) if text.startswith("+") else text

    def summary(self) -> str:
        """Return what was masked in words; empty when nothing was."""
        return ", ".join(f"{self.counts[kind]} {kind}" for kind in KINDS if self.counts[kind])

    def _replaced(self, pattern: re.Pattern[str], kind: Kind, text: str, length_of: Callable[[str], int]) -> str:
        """Replace what a pattern finds; `length_of` says how much of a match really is one, 0 for nothing."""

        def one(found: re.Match[str]) -> str:
            length = length_of(found[0])
            self.counts[kind] += length > 0
            return f"<{kind}>{found[0][length:]}" if length else found[0]

        return pattern.sub(one, text)


def _iban_length(text: str) -> int:
    """Return the length of the IBAN that a text begins with: words may follow it."""
    from stdnum import iban

    ends = [at for at in range(len(text), 14, -1) if at == len(text) or not text[at].isalnum() or text[at - 1] == " "]
    return next((len(text[:at].rstrip(" -")) for at in ends if iban.is_valid(text[:at])), 0)


def _card_length(text: str) -> int:
    from stdnum import luhn

    digits = re.sub(r"\D", "", text)
    return len(text) if luhn.is_valid(digits) and len(set(digits)) > 1 else 0


def _phone_length(text: str) -> int:
    import phonenumbers

    if _NO_PHONE.match(text) or (text.isdigit() and text[0] != "0" and len(text) < _FEWEST_BARE):
        return 0
    written = "+" + text[2:] if text.startswith("00") else text
    for region in (None,) if written.startswith("+") else REGIONS:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return len(text)
    return 0
