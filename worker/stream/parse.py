"""A record becomes a pending review, a deletion, or a rejection.

Owns that choice; `schemas.review` owns which values are reviews, and their ids. Never raises: an invalid record is an
outcome, not an error. `pipeline` calls it for each record.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.review import InputFormat, InvalidReviewError, deleted_id, parse_review, review_id_of
from worker.records import Deleted, Pending, Record, Rejected
from worker.stream.rejection import rejected


@dataclass(frozen=True, slots=True)
class Parser:
    """Parses records by the settings given; see `schemas.review.parse_review`."""

    input_format: InputFormat
    max_text_chars: int

    def parse(self, record: Record, model_version: str) -> Pending | Deleted | Rejected:
        """Return what a record is. A dead letter names `model_version`."""
        try:
            if record.value is None:
                return Deleted(record, deleted_id(record.key))
            review = parse_review(record.value, input_format=self.input_format, max_text_chars=self.max_text_chars)
            found = review_id_of(review, record.key, record.topic, record.partition, record.offset)
            return Pending(record, found, review)
        except InvalidReviewError as error:
            return rejected(record, error.reason, str(error), model_version=model_version)
