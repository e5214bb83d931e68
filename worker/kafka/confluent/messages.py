"""Turns librdkafka's messages into records, many at a time, without a Python frame for each.

Owns the conversion. Events are not records: `source` handles them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from sys import intern
from typing import Any, Final

from confluent_kafka import Message

from worker.records import PlainRecord

_error: Final[Callable[[Any], Any]] = Message.error
_topic: Final[Callable[[Any], Any]] = Message.topic
_partition: Final[Callable[[Any], Any]] = Message.partition
_offset: Final[Callable[[Any], Any]] = Message.offset
_timestamp: Final[Callable[[Any], Any]] = Message.timestamp  # type, milliseconds
_key: Final[Callable[[Any], Any]] = Message.key
_value: Final[Callable[[Any], Any]] = Message.value
_headers: Final[Callable[[Any], Any]] = Message.headers
# As `PlainRecord._make`, without its frame.
_record: Final[Callable[[tuple[Any, ...]], PlainRecord]] = partial(tuple.__new__, PlainRecord)


# confluent-kafka 2.16 returns a value although it raises, which the interpreter reports as a SystemError.
_NOT_UTF8: Final = (UnicodeDecodeError, SystemError)


def _headers_of(messages: Sequence[Any]) -> list[Any]:
    try:
        return list(map(_headers, messages))
    except _NOT_UTF8:  # other languages' clients can send such names
        return list(map(_headers_if_text, messages))


def _headers_if_text(message: Any) -> Any:
    try:
        return _headers(message)
    except _NOT_UTF8:
        return None


def has_events(messages: Sequence[Any]) -> bool:
    """Return whether some are events of the client, such as an error or the end of a partition."""
    return any(map(_error, messages))


def to_records(messages: Sequence[Any]) -> tuple[list[PlainRecord], dict[tuple[str, int], int]]:
    """Return the records of messages without events, in order, and the last offset of each partition."""
    topics = list(map(intern, map(_topic, messages)))
    partitions = list(map(_partition, messages))
    offsets = list(map(_offset, messages))
    columns = zip(
        topics,
        partitions,
        offsets,
        map(itemgetter(1), map(_timestamp, messages)),
        map(_key, messages),
        map(_value, messages),
        [headers or () for headers in _headers_of(messages)],
        strict=True,
    )
    # A later offset of a partition replaces an earlier one.
    return list(map(_record, columns)), dict(zip(zip(topics, partitions, strict=True), offsets, strict=True))
