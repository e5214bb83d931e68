"""Reads the dead-letter topic: no group, no commits, from one offset to another.

Owns the throw-away consumer and the bound of a reading: the ends are taken once, so that a replay whose letters come
back can not chase its own tail. Letters come partition by partition, each in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaConsumer, TopicPartition

from worker.clock import Clock
from worker.dead_letters.letter import Letter, Wanted, read_letter
from worker.errors import SettingsError, TransientError
from worker.kafka.offset_range import LATEST, Point, Span
from worker.kafka.python.client import client_config, translated
from worker.kafka.python.topics import find_partitions, find_spans
from worker.records import Partition
from worker.settings import WorkerSettings

_POLL_RECORDS: Final = 500
_POLL_S: Final = 0.5


class LetterReader:
    """A reader of the dead-letter topic; a context manager.

    Args:
        settings: brokers and the topic's name.
        clock: times the brokers' silence.

    Raises:
        ServiceError: the brokers do not answer or refuse.
    """

    def __init__(self, settings: WorkerSettings, clock: Clock) -> None:
        self._topic = settings.dead_letter_topic
        self._patience_s = settings.request_timeout_s
        self._clock = clock
        with translated("connect"):
            self._consumer: Any = KafkaConsumer(
                **client_config(settings),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with translated("close"):
            self._consumer.close(autocommit=False)

    def spans(self, wanted: Wanted) -> dict[Partition, Span]:
        """Return what is to be read of each partition; the ends are those of now.

        Raises:
            SettingsError: there is no such topic or partition.
            ServiceError: the brokers do not answer.
        """
        found = find_partitions(self._consumer, [self._topic], "WORKER_DEAD_LETTER_TOPIC")
        if wanted.partition is not None:
            found = [each for each in found if each.partition == wanted.partition]
            if not found:
                raise SettingsError(f"--partition {wanted.partition}: {self._topic} has no such partition")
        # The times of letters are those of their originals, in no order: only the first can be looked up.
        end = LATEST if wanted.end.kind == "time" else wanted.end
        return find_spans(self._consumer, found, wanted.start, end)

    def read(self, spans: Mapping[Partition, Span], wanted: Wanted) -> Iterator[Letter]:
        """Yield the letters asked for.

        Raises:
            ServiceError: the brokers fell silent.
        """
        for partition, span in spans.items():
            for letter in self._read_partition(partition, span):
                if wanted.holds(letter):
                    yield letter

    def letter_at(self, partition: int, offset: int) -> Letter:
        """Return one letter.

        Raises:
            SettingsError: it is not there.
            ServiceError: the brokers do not answer.
        """
        at, after = Point("offset", offset), Point("offset", offset + 1)
        wanted = Wanted(at, after, partition=partition)
        for letter in self.read(self.spans(wanted), wanted):
            return letter
        raise SettingsError(
            f"{partition}:{offset}: no letter there; the topic's retention may have removed it, or the offset is a "
            "transaction's marker"
        )

    def partitions_of(self, topic: str) -> Set[int]:
        """Return the partitions of any topic; empty when there is none.

        Raises:
            ServiceError: the brokers do not answer.
        """
        with translated(f"{topic}: look for it"):
            return frozenset(self._consumer.partitions_for_topic(topic) or ())

    def _read_partition(self, partition: Partition, span: Span) -> Iterator[Letter]:
        at = TopicPartition(*partition)
        if span.size == 0:
            return
        self._consumer.assign([at])
        self._consumer.seek(at, span.start)
        position = span.start
        heard_at = self._clock.monotonic()
        while position < span.end:
            with translated(f"read {partition.topic}"):
                polled = self._consumer.poll(timeout_ms=round(_POLL_S * 1000), max_records=_POLL_RECORDS)
                moved_to = self._consumer.position(at)
            for record in polled.get(at, ()):
                if record.offset >= span.end:
                    return
                yield read_letter(record)
            now = self._clock.monotonic()
            if moved_to > position:
                position, heard_at = moved_to, now
            elif now - heard_at > self._patience_s:
                raise TransientError(
                    "kafka", f"read {partition.topic}-{partition.partition}: no answer for {self._patience_s:g} s"
                )
