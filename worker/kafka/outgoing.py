"""What is published for an outcome (a rating, a tombstone or a dead letter), and the producer that publishes it.

Owns a record's topic, key, value, headers and time; they are the same with either client. `delivery` is next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from schemas.dead_letter import OWN
from schemas.rating import CONTENT_TYPE
from worker.records import Deleted, Outcome, Partition, Rated, Record
from worker.settings import WorkerSettings

_RATING_HEADERS: Final = [("content-type", CONTENT_TYPE)]  # shared by all records: do not change it in place
_TRACE_HEADERS: Final = ("traceparent", "tracestate")


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None


class Producer(Protocol):
    """One client's producer, discarded after any failure. Its methods raise `ServiceError`s only."""

    @property
    def failed(self) -> bool:
        """Whether it has reported an error since its start, and must not be used again."""

    def start(self) -> None:
        """Return once the brokers answer; with a transactional id, fence the predecessor and abort its transaction."""

    def require_topic(self, topic: str, doing: str) -> None:
        """Return if a topic can be written; the error's text begins with `doing`."""

    def begin(self) -> None:
        """Begin a transaction."""

    def send(self, records: Sequence[Outgoing]) -> None:
        """Take records, in order, without waiting for the brokers."""

    def flush(self) -> None:
        """Return once all in-sync replicas have everything that was sent."""

    def add_offsets(self, offsets: Mapping[Partition, int], membership: Any) -> None:
        """Add consumed offsets to the transaction; may return before the brokers have them."""

    def commit(self) -> None:
        """Return once the records and offsets of the transaction are committed."""

    def abort(self) -> None:
        """Abort the transaction, so that it blocks no reader; best effort, within about two seconds, never raises."""

    def discard(self) -> None:
        """End the producer and drop its records, within about two seconds. Never raises."""


def outgoing(outcome: Outcome, settings: WorkerSettings) -> Outgoing:
    """Return the record to publish for an outcome."""
    record = outcome.record
    if isinstance(outcome, Rated):
        headers = [*_RATING_HEADERS, *_trace(record)] if record.headers else _RATING_HEADERS
        return Outgoing(settings.output_topic, outcome.rating.review_id.encode(), outcome.value, headers, None)
    if isinstance(outcome, Deleted):
        return Outgoing(settings.output_topic, outcome.review_id.encode(), None, _trace(record), None)
    # The original's time, so that `dlq redrive` can send the record back unchanged.
    timestamp_ms = record.timestamp if record.timestamp >= 0 else None
    headers = outcome.letter.headers([(name, value or b"") for name, value in record.headers])
    # Our headers make a letter larger than its record, so the brokers could refuse it at every attempt. What is cut off
    # here is still in the input topic, at the position that the headers give.
    if _size(headers) > settings.max_message_bytes // 2:
        headers = [*outcome.letter.headers([]), (f"{OWN}dropped-headers", str(len(record.headers)).encode())]
    room = settings.max_message_bytes - _size(headers) - len(record.key or b"")
    value = record.value
    if value is not None and len(value) > room:
        headers.append((f"{OWN}truncated-from-bytes", str(len(value)).encode()))
        value = value[: max(room, 0)]
    return Outgoing(settings.dead_letter_topic, record.key, value, headers, timestamp_ms)


def _size(headers: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def _trace(record: Record) -> list[tuple[str, bytes]]:
    return [(name, value or b"") for name, value in record.headers if name in _TRACE_HEADERS]
