"""The record that is published for an outcome: a rating, a tombstone or a dead letter.

Owns its topic, key, value, headers and time; they are the same with either client. `delivery` is next, and reports what
the brokers refuse: a letter starts as its record came, but its topic may want a key (compaction), a recent time, or
fewer bytes. Headers say what was changed. The record itself is still in the input topic, at the position they give.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple, Protocol

from schemas.dead_letter import OWN
from schemas.rating import CONTENT_TYPE, SOURCE_HEADER
from schemas.review import position_id
from worker.errors import Refusal
from worker.kafka.passed_headers import PassedHeaders
from worker.records import Deleted, Outcome, Partition, Rated, Rejected, source_of
from worker.settings import WorkerSettings

GIVEN_KEY: Final = f"{OWN}given-key"  # the length of the record's own key, 0 when it has none
TRUNCATED: Final = f"{OWN}truncated-from-bytes"
_DROPPED_HEADERS: Final = f"{OWN}dropped-headers"
_DROPPED_TIME: Final = f"{OWN}dropped-time"
_CHANGES: Final = frozenset({GIVEN_KEY, _DROPPED_TIME})

_RATING_HEADERS: Final = [("content-type", CONTENT_TYPE)]  # shared by all records: do not change it in place


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None


# As `Outgoing._make`, without its frame.
_outgoing: Final[Callable[[tuple[Any, ...]], Outgoing]] = partial(tuple.__new__, Outgoing)
Headers = list[tuple[str, bytes]]


class RatingForm(Protocol):
    """How ratings are written, when not as JSON."""

    def of(self, rated: Rated) -> tuple[bytes, Headers]:
        """Return the value of a rating's record, and the headers that describe it.

        Raises:
            ServiceError: a service that it needs does not answer.
        """

    def ping(self) -> None:
        """Return if that service answers.

        Raises:
            ServiceError: it does not.
        """


class Producer(Protocol):
    """One client's producer, discarded after any failure.

    Its methods raise `ServiceError`s only: a `RefusedError` when the brokers refuse records, whatever else failed then.
    """

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


class OutgoingForm:
    """Makes the records to publish, and learns from refusals how the dead-letter topic takes letters. For one thread.

    Args:
        settings: topics, and the brokers' limit on a record.
        wall_s: seconds since the epoch.
        rating_form: of the ratings; None: JSON.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        wall_s: Callable[[], float] = time.time,
        *,
        rating_form: RatingForm | None = None,
    ) -> None:
        self._rating_form = rating_form
        self._output, self._dead = settings.output_topic, settings.dead_letter_topic
        self._passed = PassedHeaders(settings.pass_headers)
        self._wall_s = wall_s
        self._most_bytes = settings.max_message_bytes
        self._keyed = False
        self._oldest_ms, self._newest_ms = -inf, inf  # a letter's time, relative to now, lies between them

    def of(self, outcome: Outcome) -> Outgoing:
        """Return the record to publish for an outcome."""
        record = outcome.record
        if isinstance(outcome, Rated):
            value, headers = outcome.value, _RATING_HEADERS
            if self._rating_form is not None:
                value, headers = self._rating_form.of(outcome)
            if record.headers:
                headers = [*headers, *self._passed.of(record)]
            return _outgoing((self._output, outcome.fields.review_id.encode(), value, headers, None))
        if isinstance(outcome, Deleted):
            headers = [(SOURCE_HEADER, source_of(record).to_json()), *self._passed.of(record)]
            return Outgoing(self._output, outcome.review_id.encode(), None, headers, None)
        return self._letter(outcome)

    def ping(self) -> None:
        """Return if what the form of the ratings needs answers.

        Raises:
            ServiceError: it does not.
        """
        if self._rating_form is not None:
            self._rating_form.ping()

    def learn(self, why: Refusal, letters: Sequence[Outgoing], *, exact: bool) -> None:
        """Learn from letters that were refused, so that none is made like them again.

        Args:
            why: what the brokers do not take.
            letters: those refused.
            exact: False when perhaps only one of them is at fault.
        """
        if why == "size":
            self._most_bytes = min(self._most_bytes, *map(size_of, letters)) // 2
        elif why == "time":
            now_ms = self._wall_s() * 1000
            ages = [letter.timestamp_ms - now_ms for letter in letters if letter.timestamp_ms is not None]
            if not exact:  # the one farthest from now is at fault; the limit is not known, so come near it in few steps
                ages = [max(ages, key=abs, default=0.0) / 16]
            self._oldest_ms = max([self._oldest_ms, *(age for age in ages if age < 0)])
            self._newest_ms = min([self._newest_ms, *(age / 2 for age in ages if age > 0)])  # it comes nearer
        else:
            self._keyed = self._keyed or any(letter.key is None for letter in letters)

    def _letter(self, outcome: Rejected) -> Outgoing:
        record = outcome.record
        headers = outcome.letter.headers([(name, value or b"") for name, value in record.headers])
        # The original's time, so that `dlq redrive` can send the record back unchanged.
        timestamp_ms = record.timestamp if record.timestamp >= 0 else None
        if timestamp_ms is not None and not self._oldest_ms < timestamp_ms - self._wall_s() * 1000 < self._newest_ms:
            headers.append((_DROPPED_TIME, str(timestamp_ms).encode()))
            timestamp_ms = None
        key = record.key
        if (self._keyed and key is None) or len(key or b"") > self._most_bytes // 4:
            headers.append((GIVEN_KEY, str(len(key or b"")).encode()))
            key = position_id(record.topic, record.partition, record.offset).encode()
        # Our headers make a letter larger than its record, so the brokers could refuse it at every attempt.
        if _header_bytes(headers) > self._most_bytes // 2:
            kept = [header for header in headers if header[0] in _CHANGES]
            headers = [*outcome.letter.headers([]), *kept, (_DROPPED_HEADERS, str(len(record.headers)).encode())]
        value = record.value
        room = self._most_bytes - _header_bytes(headers) - len(key or b"")
        if value is not None and len(value) > room:
            headers.append((TRUNCATED, str(len(value)).encode()))
            value = value[: max(room, 0)]
        return Outgoing(self._dead, key, value, headers, timestamp_ms)


def outgoing(outcome: Outcome, settings: WorkerSettings) -> Outgoing:
    """Return the record to publish for an outcome, in the form that nobody has refused yet."""
    return OutgoingForm(settings).of(outcome)


def size_of(record: Outgoing) -> int:
    """Return the bytes of a record's key, value and headers."""
    return len(record.key or b"") + len(record.value or b"") + _header_bytes(record.headers)


def _header_bytes(headers: Sequence[tuple[str, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)
