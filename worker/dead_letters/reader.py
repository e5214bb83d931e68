"""Reads letters from the dead-letter topic, partition by partition, each in order. Commits nothing.

The spans are taken once, before the first letter is read: letters that a redrive brings back lie beyond their ends, so
it cannot run in circles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.dead_letter import ERASED
from worker.dead_letters.letter import Letter, Selection, read_letter
from worker.errors import SettingsError
from worker.kafka.offset_range import EARLIEST, LATEST, Point, Span
from worker.kafka.python.topics import Topics
from worker.records import Partition, Record


def letter_spans(topics: Topics, topic: str, selection: Selection) -> dict[Partition, Span]:
    """Return the offsets to read in each partition of the dead-letter topic; the ends are those of now.

    Raises:
        SettingsError: there is no such topic or partition.
        ServiceError: the brokers do not answer.
    """
    partitions = topics.require([topic], "WORKER_DEAD_LETTER_TOPIC")
    if selection.partition is not None:
        partitions = [partition for partition in partitions if partition.partition == selection.partition]
        if not partitions:
            raise SettingsError(f"--partition {selection.partition}: {topic} has no such partition")
    # Letters carry the times of their originals, in no order: only the first at or after a time can be looked up.
    end = LATEST if selection.end.kind == "time" else selection.end
    return topics.spans(partitions, selection.start, end)


def read_letters(topics: Topics, spans: Mapping[Partition, Span], selection: Selection) -> Iterator[Letter]:
    """Yield the selected letters.

    Raises:
        ServiceError: the brokers stopped answering.
    """
    for partition, span in spans.items():
        for record in topics.read(partition, span):
            if is_erasure(record):
                continue
            letter = read_letter(record)
            if selection.holds(letter):
                yield letter


def erasures(topics: Topics, topic: str) -> dict[tuple[int, bytes | None], int]:
    """Return the offset of the last tombstone that `erase` sent, by partition and key; older letters are erased.

    Raises:
        ServiceError: the brokers stopped answering.
    """
    spans = topics.spans(topics.partitions(topic), EARLIEST, LATEST)
    return {
        (record.partition, record.key): record.offset
        for partition, span in spans.items()
        for record in topics.read(partition, span)
        if is_erasure(record)
    }


def is_erasure(record: Record) -> bool:
    """Tell the tombstone of an erased review from a letter whose value is null."""
    return record.value is None and any(name == ERASED for name, _ in record.headers)


def find_letter(topics: Topics, topic: str, partition: int, offset: int) -> Letter:
    """Return one letter.

    Raises:
        SettingsError: it is not there.
        ServiceError: the brokers do not answer.
    """
    selection = Selection(Point("offset", offset), Point("offset", offset + 1), partition=partition)
    for letter in read_letters(topics, letter_spans(topics, topic, selection), selection):
        return letter
    raise SettingsError(
        f"{partition}:{offset}: no letter there; the topic's retention may have removed it, or the offset is a "
        "transaction's marker"
    )
