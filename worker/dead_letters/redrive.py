"""`dlq redrive`: sends dead letters back to where they came from, or to another topic.

Owns the order: spans first, then letters are read, checked, sent, and acknowledged 500 at a time, which bounds what is
in flight. Letters stay in the dead-letter topic; nothing here deletes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from rich.console import Console

from worker.clock import SystemClock
from worker.dead_letters.letter import REFUSALS, Guard, Letter, Refusal, Selection, as_sent
from worker.dead_letters.reader import erasures, letter_spans, read_letters
from worker.dead_letters.show import as_text
from worker.errors import ExitCode, RefusedError, ServiceError
from worker.kafka.offset_range import Span
from worker.kafka.outgoing import Outgoing
from worker.kafka.python.sender import Sender
from worker.kafka.python.topics import Topics
from worker.ops.progress import LongRun
from worker.ops.signals import StopSignals
from worker.ops.text import printable
from worker.records import Partition
from worker.settings import WorkerSettings

_GROUP: Final = "-redrive"  # the end of the group that remembers what was sent
_LETTERS_IN_FLIGHT: Final = 500
# A letter older than this share of its topic's retention may be deleted before a worker has read it.
_RETENTION_SHARE: Final = 0.9


@dataclass(frozen=True, slots=True)
class RedriveOrder:
    """Which letters to send back, and how."""

    selection: Selection
    to_topic: str | None  # where to; None sends each to the topic it came from
    max_attempts: int  # a letter that was tried this often stays
    as_of_now: bool  # send them with the present time instead of the original's
    limit: int  # the most letters to send; 0 for all
    only_new: bool  # only letters behind the last that an earlier redrive sent
    dry_run: bool  # only print


@dataclass(slots=True)
class _Tally:
    """How many letters were sent, by topic, and how many were refused."""

    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[Refusal] = field(default_factory=Counter)
    forgotten: str = ""  # why the next redrive will not know of this one

    def show(self, console: Console, verb: str) -> ExitCode:
        """Print the counts; return the exit code they mean."""
        topics = ", ".join(f"{printable(topic)} {count}" for topic, count in sorted(self.sent.items()))
        total = self.sent.total()
        _say(console, f"{total} letter{'s' * (total != 1)} {verb}" + (f": {topics}" if topics else ""))
        for refusal, count in self.refused.items():
            _say(console, f"{count} not: {REFUSALS[refusal]}")
        if self.forgotten:
            _say(console, f"--new of the next redrive will not know of this one: {self.forgotten}")
        return ExitCode.INPUT if self.refused else ExitCode.OK


class _Target(NamedTuple):
    """A topic to send letters to, as the brokers know it."""

    partitions: Collection[int]
    oldest_ms: int  # an older letter might be deleted on arrival


class _Run:
    """The letters within the spans taken at its start, checked in order."""

    def __init__(self, settings: WorkerSettings, order: RedriveOrder, topics: Topics, memory: Topics) -> None:
        self._order = order
        self._topics = topics
        self._guard = Guard(order.to_topic, {settings.dead_letter_topic, settings.output_topic}, order.max_attempts)
        self._now_ms = round(SystemClock().wall() * 1000)
        self._targets: dict[str, _Target | None] = {}
        self._erasures = erasures(topics, settings.dead_letter_topic)
        self._spans = letter_spans(topics, settings.dead_letter_topic, order.selection)
        self._memory = memory
        self._sent = self._remembered()  # by partition: the offset behind the last letter that was sent
        self.again = ", ".join(
            f"{partition.partition}:{offset - 1}"
            for partition, offset in self._sent.items()
            if self._spans[partition].start < min(offset, self._spans[partition].end)
        )
        if order.only_new:
            self._spans = {
                partition: Span(min(max(span.start, self._sent.get(partition, 0)), span.end), span.end)
                for partition, span in self._spans.items()
            }
        self.offsets = sum(span.size for span in self._spans.values())

    def letters(self, tally: _Tally) -> Iterator[tuple[Letter, str, int | None]]:
        """Yield the letters that may go, at most `limit`, with topic and partition; count the refused ones.

        A letter that goes back to its topic goes to its partition; for others (None) the key chooses one.
        """
        return islice(self._allowed(tally), self._order.limit or None)

    def read_up_to(self, letter: Letter) -> int:
        """Return how many offsets are read once this letter is."""
        read = 0
        for partition, span in self._spans.items():
            if partition.partition == letter.record.partition:
                return read + letter.record.offset + 1 - span.start
            read += span.size
        return read

    def remember(self, letter: Letter) -> None:
        """Note that a letter was sent."""
        at = Partition(letter.record.topic, letter.record.partition)
        self._sent[at] = max(self._sent.get(at, 0), letter.record.offset + 1)

    def commit(self) -> str:
        """Keep what was noted, for the next redrive; return why it could not be kept, or nothing."""
        try:
            kept = not self._sent or self._memory.commit(self._sent)
        except ServiceError as error:
            return str(error)
        return "" if kept else "another program reads with its group"

    def _remembered(self) -> dict[Partition, int]:
        try:
            return self._memory.committed(list(self._spans))
        except ServiceError:  # no right to the group
            return {}

    def _allowed(self, tally: _Tally) -> Iterator[tuple[Letter, str, int | None]]:
        for letter in read_letters(self._topics, self._spans, self._order.selection):
            at = letter.record
            if self._erasures.get((at.partition, at.key), -1) > at.offset:
                tally.refused["erased"] += 1
                continue
            topic = self._guard.topic_for(letter)
            target = None if topic is None else self._target(topic)
            refusal = self._guard.refusal(letter, None if target is None else target.oldest_ms)
            if refusal is not None:
                tally.refused[refusal] += 1
            elif topic is not None and target is not None:
                goes_home = topic == letter.topic and letter.partition in target.partitions
                yield letter, topic, letter.partition if goes_home else None

    def _target(self, topic: str) -> _Target | None:
        """Look up a topic, once; None when there is none."""
        if topic not in self._targets:
            partitions = self._topics.partitions(topic)
            kept_ms = None if self._order.as_of_now or not partitions else self._topics.retention_ms(topic)
            oldest_ms = 0 if kept_ms is None else self._now_ms - round(kept_ms * _RETENTION_SHARE)
            numbers = {partition.partition for partition in partitions}
            self._targets[topic] = _Target(numbers, oldest_ms) if numbers else None
        return self._targets[topic]


def redrive(settings: WorkerSettings, order: RedriveOrder) -> ExitCode:
    """Send letters back, or print which would be sent.

    Returns:
        OK when all selected letters were sent, INPUT when some were refused, INTERRUPTED when stopped before the end.

    Raises:
        SettingsError: a flag is wrong.
        ServiceError: the brokers do not answer; the message says how to continue.
    """
    console = Console(stderr=True)
    group = f"{settings.group_id}{_GROUP}"
    # Two clients, because the letters can be read without a right to the group.
    with (
        closing(Topics(settings, SystemClock())) as topics,
        closing(Topics(settings, SystemClock(), group_id=group)) as memory,
    ):
        if order.to_topic is not None:
            topics.require([order.to_topic], "--to-topic")
        run = _Run(settings, order, topics, memory)
        if run.again and not order.only_new:
            _say(console, f"earlier redrives have sent letters up to {run.again}; --new leaves those out")
        if order.dry_run:
            return _print_letters(run).show(console, "would be sent")
        return _send_all(settings, run, order, console)


def _print_letters(run: _Run) -> _Tally:
    tally = _Tally()
    for letter, topic, _ in run.letters(tally):
        tally.sent[topic] += 1
        key = printable(as_text(letter.record.key) or "-")
        print(letter.place, "->", topic, f"key={key}", letter.reason, f"attempts={letter.attempts}")
    return tally


def _send_all(settings: WorkerSettings, run: _Run, order: RedriveOrder, console: Console) -> ExitCode:
    tally = _Tally()
    in_flight: dict[int, tuple[str, Outgoing]] = {}  # by the record's identity: the letter's place, and the record
    stopped_at = None

    def settle() -> None:
        try:
            sender.flush()
        except RefusedError as error:
            places = [in_flight.pop(id(record))[0] for record in error.records]
            tally.refused["refused"] += len(places)
            _say(console, f"letters {', '.join(places)}: {error}")
        tally.sent.update(record.topic for _, record in in_flight.values())
        in_flight.clear()
        if lost := run.commit():
            tally.forgotten = lost

    with (
        StopSignals(settings.drain_deadline_s) as stop,
        closing(Sender(settings)) as sender,
        LongRun(console, SystemClock(), "sending", run.offsets) as progress,
    ):
        for letter, topic, partition in run.letters(tally):
            if stop.asked:
                stopped_at = letter.place
                break
            record = as_sent(letter, topic, as_of_now=order.as_of_now)
            sender.send(record, _sending(letter), partition)
            in_flight[id(record)] = letter.place, record
            run.remember(letter)
            if len(in_flight) == _LETTERS_IN_FLIGHT:
                settle()
                sent = tally.sent.total()
                progress.update(run.read_up_to(letter), f"{sent} letters, {progress.rate(sent):.0f}/s")
        settle()
    code = tally.show(console, "sent")
    if stopped_at is not None:
        _say(console, f"stopped: letter {stopped_at} and those after it were not looked at")
    return code if stopped_at is None else ExitCode.INTERRUPTED


def _sending(letter: Letter) -> str:
    """Return what an error calls the sending of a letter."""
    at = letter.record
    go_on = f"continue with --partition {at.partition} --from {at.offset}, then with the partitions after it"
    return f"letter {letter.place} may not have been sent: {go_on}"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
