"""What is masked, and what is left: each pattern with numbers that are one, and with numbers that only look so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from schemas.personal.mask import Masker


def masked(text: str) -> str:
    return Masker().mask(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail me: jo.do+app@mail.example.co.uk, please", "mail me: <e-mail>, please"),
        ("JÜRGEN@example.de", "<e-mail>"),
        ("DE89 3704 0044 0532 0130 00 thanks a lot", "<iban> thanks a lot"),
        ("iban gb29nwbk60161331926819.", "iban <iban>."),
        ("card 4111 1111 1111 1111 was charged", "card <card> was charged"),
        ("5555555555554444", "<card>"),
        ("378282246310005", "<card>"),
        ("call +49 170 1234567 now", "call <phone> now"),
        ("0049 170 1234567", "<phone>"),
        ("(212) 555-0123", "<phone>"),
        ("98765 43210", "<phone>"),
        ("0171/2345678!", "<phone>!"),
        ("a@b.co and 020 7946 0958", "<e-mail> and <phone>"),
    ],
)
def test_personal_data_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "5 stars, 100% good",
        "me @ home, @handle",
        "version 10.15.7 since 2026-11-27 12:30:05",
        "on 27.11.2026 and 11/27/2026",
        "server 192.168.100.101",
        "4111 1111 1111 1112",  # Luhn's digit is wrong
        "0000000000000000",
        "DE88370400440532013000",  # the check digits are wrong
        "lost 1500000 coins",
        "order 123456",
        "com.example.app2000000-1",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert masked(text) == text


@given(digits=st.text("0123456789", min_size=12, max_size=18).filter(lambda digits: len(set(digits)) > 1))
def test_any_card_number_is_masked_and_no_digit_of_it_is_left(digits: str) -> None:
    number = digits + luhn.calc_check_digit(digits)
    for written in (number, " ".join(number[at : at + 4] for at in range(0, len(number), 4))):
        found = masked(f"my card {written} ok")
        assert found in {"my card <card> ok", "my card <iban> ok"}


@given(st.text(max_size=200))
def test_any_text_can_be_masked_and_a_masked_one_stays(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


def test_what_is_masked_is_counted_and_can_be_kept() -> None:
    masker = Masker()
    masker.mask("a@b.co, c@d.co, +49 170 1234567")
    assert masker.summary() == "2 e-mail, 1 phone"
    kept = Masker(keep=True)
    assert kept.mask("a@b.co") == "a@b.co"
    assert kept.summary() == ""


def test_an_id_of_digits_stays_and_one_that_is_an_address_does_not() -> None:
    ids = ["9876543210", "550e8400-e29b-41d4-a716-446655440000", "4111111111111111", "gp:AOqpTOF"]
    assert [Masker().mask_id(name) for name in ids] == ids
    assert [Masker().mask_id(name) for name in ("jo@b.co", "+491701234567", "DE89370400440532013000")] == [
        "<e-mail>", "<phone>", "<iban>",
    ]  # fmt: skip
