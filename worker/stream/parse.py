"""A record becomes a pending review, a deletion, or a rejection.

Owns that choice; `schemas.review` owns which values are reviews, and their ids. An invalid record is an outcome, not an
error. `pipeline` calls it for each record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from prometheus_client import Counter

from schemas.input.fields import FieldFinder
from schemas.input.known_fields import KnownFields
from schemas.input.presets import PRESETS
from schemas.input.value import InvalidReviewError, ValueFormat
from schemas.review import Review, deleted_id, deleted_row_id, parse_review, review_id_of, review_of
from worker.records import Deleted, Pending, Record, Rejected
from worker.stream.ports import Decoder
from worker.stream.rejection import rejected

_CLOUD_EVENT: Final = b"application/cloudevents+json"
_CLOUD_EVENTS: Final = FieldFinder(PRESETS["cloudevents"])


@dataclass(frozen=True, slots=True)
class Parser:
    """Parses records by the settings given; see `schemas.review.parse_review`.

    With `auto`, a record whose header says that it is a CloudEvent in structured mode is read as one; the value of one
    in binary mode is read like any other.
    """

    input_format: ValueFormat  # the form of the values; a decoder has its own
    max_text_chars: int  # longest text allowed, in Unicode code points
    finder: FieldFinder = field(default_factory=FieldFinder)  # where the parts of a review are
    ignored: Counter | None = None  # counts the optional fields that could not be used, by name
    decoder: Decoder | None = None  # reads the values, when they are neither JSON nor text
    known: KnownFields = field(init=False)  # of the objects so far

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", KnownFields(self.finder))

    def parse(self, record: Record, model_version: str) -> Pending | Deleted | Rejected:
        """Return what a record is. A dead letter names `model_version`.

        Raises:
            ServiceError: the decoder needs a service that does not answer.
        """
        key = record.key if self.decoder is None else self.decoder.key_text(record.key)
        try:
            if record.value is None:
                return Deleted(record, deleted_id(key))
            review = self._review(record, record.value)
            found = review.review_id or review_id_of(review, key, record.topic, record.partition, record.offset)
        except InvalidReviewError as error:
            if error.reason == "no_text" and record.value and (gone := self._deleted_row(record, record.value)):
                return Deleted(record, gone)
            return rejected(record, error.reason, str(error), model_version=model_version)
        if review.ignored and self.ignored is not None:
            for name in review.ignored:
                self.ignored.labels(name).inc()
        return Pending(record, found, review)

    def ping(self) -> None:
        """Return if the service that the decoder needed answers now.

        Raises:
            ServiceError: it does not.
        """
        if self.decoder is not None:
            self.decoder.ping()

    def _deleted_row(self, record: Record, value: bytes) -> str | None:
        found = value if self.decoder is None else self.decoder.decode(value, record.headers)
        return deleted_row_id(found, self.finder)

    def _review(self, record: Record, value: bytes) -> Review:
        finder = self.finder
        known: KnownFields | None = self.known
        if self.decoder is not None:
            return review_of(self.decoder.decode(value, record.headers), finder, self.max_text_chars)
        if record.headers and self.input_format == "auto" and _is_cloud_event(record):
            finder, known = _CLOUD_EVENTS, None
        return parse_review(
            value, input_format=self.input_format, finder=finder, max_text_chars=self.max_text_chars, known=known
        )


def _is_cloud_event(record: Record) -> bool:
    # A header's value may be null.
    return any(
        name.lower() == "content-type" and value and value.startswith(_CLOUD_EVENT) for name, value in record.headers
    )
