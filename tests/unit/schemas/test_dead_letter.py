"""The dead-letter contract: exact headers, both families, and nothing of the review in them."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.dead_letter import CONNECT, OWN, DeadLetter

GOLDEN = Path(__file__).parents[2] / "golden" / "schema_dead_letter.json"
LETTER = DeadLetter(
    topic="reviews",
    partition=5,
    offset=1234567890123,
    timestamp_ms=1767225600789,
    reason="text_too_long",
    message="text: 20001 characters, over the limit of 20000 (WORKER_MAX_TEXT_CHARS)",
    stage="parse",
    exception="InvalidReviewError",
    model_version="20260101T000000Z-70700000",
    attempts=1,
)
ORIGINAL = [("traceparent", b"00-aa-bb-01"), ("binary", b"\x00\xff")]


def shown(headers: list[tuple[str, bytes]]) -> list[list[str]]:
    """Return headers as the golden file holds them: text, or bytes in hexadecimal."""
    return [
        [name, value.decode() if value.isascii() and value.decode().isprintable() else f"0x{value.hex()}"]
        for name, value in headers
    ]


def test_dead_letter_headers_are_the_golden_ones() -> None:
    """Replay tools of Connect and Spring read these; a change here is a change of the contract."""
    assert shown(LETTER.headers(ORIGINAL)) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_stage_is_parse_or_rate() -> None:
    stages = {
        stage: dict(LETTER.model_copy(update={"stage": stage}).headers([]))[f"{CONNECT}stage"]
        for stage in ("parse", "rate")
    }
    assert stages == {"parse": b"VALUE_CONVERTER", "rate": b"TRANSFORMATION"}


def test_a_letter_rejected_again_has_one_set_of_headers() -> None:
    once = LETTER.headers(ORIGINAL)
    again = LETTER.model_copy(update={"attempts": 2}).headers(once)
    names = [name for name, _ in again]
    assert len(names) == len(set(names)) == len(once)
    assert dict(again)[f"{OWN}attempts"] == b"2"


def test_original_headers_come_first_and_keep_their_order_and_repetition() -> None:
    original = [("b", b"1"), ("a", b"2"), ("b", b"3")]
    assert LETTER.headers(original)[:3] == original
