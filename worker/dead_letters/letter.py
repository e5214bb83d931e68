"""Dead letters as values: what their headers say, which are selected, and which may go back to their topic.

Owns the reading of both header families (Connect's strings, Spring's big-endian numbers) and of our own, and the rules
of a redrive. Pure; `reader` reads the records, `show` prints them, `redrive` sends them.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.dead_letter import CONNECT, OWN, REJECT_REASONS, SPRING
from schemas.review import position_id
from worker.kafka.offset_range import Point
from worker.kafka.outgoing import GIVEN_KEY, TRUNCATED, Outgoing
from worker.records import Record
from worker.stream.rejection import ATTEMPTS_HEADER, attempts_so_far

FOREIGN: Final = "other"  # the reason of a letter that another program wrote
REASONS: Final = (*REJECT_REASONS, FOREIGN)

Refusal = Literal[
    "attempts", "truncated", "no_origin", "forbidden_topic", "no_such_topic", "too_old", "refused", "erased", "empty"
]
REFUSALS: Final[Mapping[Refusal, str]] = {
    "attempts": "tried as often as --max-attempts allows",
    "truncated": "the value or key was cut to fit the dead-letter topic; the headers say where the whole one is",
    "no_origin": "no header says where it came from; name a topic with --to-topic",
    "forbidden_topic": "it would go to the dead-letter topic or the output topic",
    "no_such_topic": "the topic it came from is gone",
    "erased": "the review was erased since (`erase`)",
    "empty": "it has neither key nor value, so it names no review",
    "refused": "the brokers refuse it as it is; the lines above say why",
    "too_old": "its topic would soon delete it (retention.ms); --time now sends it with the present time",
}

_NUMBER_FORMATS: Final = {4: ">i", 8: ">q"}
_DIGITS: Final = 19  # of the largest offset; other programs write letters, too
_SPRING_NUMBERS: Final = (f"{SPRING}original-partition", f"{SPRING}original-offset", f"{SPRING}original-timestamp")


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of the dead-letter topic, with what its headers say; None where they do not."""

    record: Record
    reason: str
    topic: str | None
    partition: int | None
    offset: int | None
    timestamp_ms: int | None
    attempts: int
    model_version: str | None
    message: str | None
    key: bytes | None
    truncated: bool

    @property
    def time_ms(self) -> int:
        """The original's time in milliseconds since the epoch, -1 when unknown."""
        return self.record.timestamp if self.timestamp_ms is None else self.timestamp_ms

    @property
    def place(self) -> str:
        """Its partition and offset, as `dlq show` takes them."""
        return f"{self.record.partition}:{self.record.offset}"


def read_letter(record: Record) -> Letter:
    """Return a record of the dead-letter topic as a letter; without a count of attempts, there was one."""
    headers = {name: value or b"" for name, value in record.headers}  # the last of a name counts, as in Kafka's API
    reason = _text(headers.get(f"{OWN}reason"))
    return Letter(
        record=record,
        reason=reason if reason in REJECT_REASONS else FOREIGN,
        topic=_text(headers.get(f"{SPRING}original-topic")) or _text(headers.get(f"{CONNECT}topic")),
        partition=_number(headers, "partition"),
        offset=_number(headers, "offset"),
        timestamp_ms=_big_endian(headers.get(f"{SPRING}original-timestamp")),
        attempts=max(1, attempts_so_far(record.headers)),
        model_version=_text(headers.get(f"{OWN}model-version")),
        message=_text(headers.get(f"{CONNECT}exception.message") or headers.get(f"{SPRING}exception-message")),
        key=None if GIVEN_KEY in headers else record.key,
        truncated=TRUNCATED in headers or headers.get(GIVEN_KEY, b"0") != b"0",
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; a field that is None or empty selects all."""

    start: Point  # first letter, by offset or time
    end: Point  # where to stop, itself not included
    reasons: Collection[str] = ()  # of `REASONS`
    topic: str | None = None  # the topic they came from
    partition: int | None = None  # of the dead-letter topic

    def holds(self, letter: Letter) -> bool:
        """Whether a letter within the offsets is selected.

        Letters carry the times of their originals, which are in no order here, so every letter is compared.
        """
        stamp = letter.record.timestamp
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.topic is None or letter.topic == self.topic)
            and (self.start.kind != "time" or stamp >= self.start.value)
            and (self.end.kind != "time" or stamp < self.end.value)
        )


@dataclass(frozen=True, slots=True)
class Guard:
    """Which letters may be sent; keeps a redrive from running in circles."""

    to_topic: str | None  # where all letters go; None sends each to the topic it came from
    forbidden: Collection[str]  # topics no letter may go to: the dead-letter topic and the output topic
    max_attempts: int  # a letter that was tried this often stays

    def topic_for(self, letter: Letter) -> str | None:
        """Return the topic a letter would go to; None when no header names one."""
        return self.to_topic or letter.topic

    def refusal(self, letter: Letter, oldest_ms: int | None) -> Refusal | None:
        """Return why a letter must stay, None when it may go.

        One older than `oldest_ms` would be deleted on arrival; without that there is no such topic.
        """
        topic = self.topic_for(letter)
        checks: dict[Refusal, bool] = {
            "no_origin": topic is None,
            "forbidden_topic": topic in self.forbidden,
            "attempts": letter.attempts >= self.max_attempts,
            "truncated": letter.truncated,
            "empty": letter.key is None and letter.record.value is None,
            "no_such_topic": oldest_ms is None,
            "too_old": 0 <= letter.time_ms < (oldest_ms or 0),
        }
        return next((why for why, is_so in checks.items() if is_so), None)


def as_sent(letter: Letter, topic: str, *, as_of_now: bool = False) -> Outgoing:
    """Return the record to send for a letter: the original's, with the attempts the worker continues to count from.

    The dead-letter header families are left out: they say what happened to the letter, not what was produced. A record
    without a key gets its position as its key: that is what it is known by, and a second redrive is the same review.
    """
    record = letter.record
    kept = [(name, value or b"") for name, value in record.headers if not name.startswith((CONNECT, SPRING, OWN))]
    headers = [*kept, (ATTEMPTS_HEADER, str(letter.attempts).encode())]
    timestamp_ms = None if as_of_now or letter.time_ms < 0 else letter.time_ms
    key = letter.key
    at = (letter.topic, letter.partition, letter.offset)
    if key is None and record.value is not None and at[0] is not None and at[1] is not None and at[2] is not None:
        key = position_id(at[0], at[1], at[2]).encode()
    return Outgoing(topic, key, record.value, headers, timestamp_ms)


def header_text(name: str, value: bytes) -> str:
    """Return a header's value for people: Spring's numbers as numbers, text as text, other bytes in hexadecimal."""
    if name in _SPRING_NUMBERS and (number := _big_endian(value)) is not None:
        return str(number)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{value.hex()}"


def _number(headers: Mapping[str, bytes], name: str) -> int | None:
    number = _big_endian(headers.get(f"{SPRING}original-{name}"))
    text = headers.get(f"{CONNECT}{name}", b"")
    return int(text) if number is None and text.isdigit() and len(text) <= _DIGITS else number


def _big_endian(value: bytes | None) -> int | None:
    if value is None or len(value) not in _NUMBER_FORMATS:
        return None
    number: int = struct.unpack(_NUMBER_FORMATS[len(value)], value)[0]
    return number


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
