"""A record becomes a pending review, a deletion, or a rejection; nothing else can happen to it.

Owns identity (`review_id`, else the record key, else `<topic>-<partition>-<offset>`) and the wording of rejections.
Never raises: a record that is wrong is an outcome, not an error. `pipeline` calls it for each record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.dead_letter import OWN, DeadLetter, RejectReason
from schemas.review import InputFormat, InvalidReviewError, check_identifier, parse_review
from worker.records import Deleted, Pending, Record, Rejected

ATTEMPTS_HEADER: Final = f"{OWN}attempts"
_ATTEMPTS_DIGITS: Final = 6  # anybody can write a header; a number longer than this is nobody's count


@dataclass(frozen=True, slots=True)
class Parser:
    """Reads records by the settings given."""

    input_format: InputFormat
    max_text_chars: int

    def parse(self, record: Record, model_version: str) -> Pending | Deleted | Rejected:
        """Return what a record is."""
        try:
            if record.value is None:
                return Deleted(record, _identity_of_tombstone(record))
            review = parse_review(record.value, input_format=self.input_format, max_text_chars=self.max_text_chars)
            return Pending(record, review.review_id or _identity(record), review)
        except InvalidReviewError as error:
            return rejected(record, error.reason, str(error), model_version=model_version)


def rejected(
    record: Record, reason: RejectReason, message: str, *, model_version: str, exception: str = "InvalidReviewError"
) -> Rejected:
    """Return a record's rejection, with its dead letter."""
    return Rejected(
        record,
        DeadLetter.model_construct(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            reason=reason,
            message=message,
            stage="rate" if reason == "unratable" else "parse",
            exception=exception,
            model_version=model_version,
            attempts=attempts_so_far(record.headers) + 1,
        ),
    )


def attempts_so_far(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Return how often a record was tried before, by its last `starstream-attempts`; 0 when it does not say.

    `dlq redrive` sends the count of the dead letter along, so a record that is sent back and rejected again and
    again is known for it.
    """
    for name, value in reversed(headers):
        if name == ATTEMPTS_HEADER and value is not None and value.isdigit() and len(value) <= _ATTEMPTS_DIGITS:
            return int(value)
    return 0


def _identity(record: Record) -> str:
    if not record.key:
        return f"{record.topic}-{record.partition}-{record.offset}"
    return _key_text(record.key)


def _identity_of_tombstone(record: Record) -> str:
    if not record.key:
        raise InvalidReviewError("no_identity", "key: a null value deletes the review its key names; there is no key")
    return _key_text(record.key)


def _key_text(key: bytes) -> str:
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidReviewError("bad_identifier", f"key: not UTF-8 at byte {error.start}") from error
    check_identifier("key", text)
    return text
