"""`dlq replay`: sends dead letters back to where they came from, or to another topic.

Owns the order of it: the ends are taken first, then letters are read, guarded, sent and acknowledged in lots, so what
is in flight is bounded. Letters stay in the dead-letter topic; nothing here deletes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from kafka import KafkaProducer
from rich.console import Console
from rich.progress import Progress

from worker.clock import SystemClock
from worker.dlq_letters import REFUSALS, Guard, Letter, Refusal, Wanted, replay_headers
from worker.dlq_reader import LetterReader
from worker.dlq_show import printable, reason_counts
from worker.errors import ExitCode, ServiceError, SettingsError, TransientError
from worker.kafka_client import translated
from worker.records import Partition
from worker.replay_bounds import Span
from worker.replay_stop import StopSignals
from worker.settings import WorkerSettings
from worker.sinks.topic import producer_config

_LOT_LETTERS: Final = 500
_CLOSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What to send back, and how.

    Attributes:
        limit: most letters to send; 0 for all.
        dry_run: only print.
        sure: do not ask.
    """

    wanted: Wanted
    to_topic: str | None
    max_attempts: int
    limit: int = 0
    dry_run: bool = False
    sure: bool = False


@dataclass(slots=True)
class _Tally:
    """What became of the letters asked for."""

    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[Refusal] = field(default_factory=Counter)

    def say(self, console: Console, verb: str) -> None:
        topics = ", ".join(f"{printable(topic)} {count}" for topic, count in sorted(self.sent.items()))
        console.print(f"{self.sent.total()} letters {verb}" + (f": {topics}" if topics else ""), highlight=False)
        for refusal, count in self.refused.items():
            console.print(f"{count} not: {REFUSALS[refusal]}", highlight=False)


class _Replay:
    """One run: the letters of the spans taken at its start, judged in order."""

    def __init__(self, settings: WorkerSettings, order: ReplayOrder, reader: LetterReader) -> None:
        self._order = order
        self._reader = reader
        self._guard = Guard(
            order.to_topic, {settings.dead_letter_topic, settings.output_topic}, max_attempts=order.max_attempts
        )
        self._partitions: dict[str, Set[int]] = {}
        self.spans: Mapping[Partition, Span] = reader.spans(order.wanted)

    def letters(self, tally: _Tally) -> Iterator[tuple[Letter, str]]:
        """Yield the letters that may go, with their topic, counting those that may not; `limit` counts both."""
        found = self._reader.read(self.spans, self._order.wanted)
        for letter in islice(found, self._order.limit or None):
            target = self._guard.target(letter)
            known = {target} if target is not None and self.partitions_of(target) else set()
            refusal = self._guard.refusal(letter, known)
            if refusal is not None:
                tally.refused[refusal] += 1
            elif target is not None:
                yield letter, target

    def partitions_of(self, topic: str) -> Set[int]:
        """Return a topic's partitions, asking once; empty when there is no such topic, or none of that name can be."""
        if topic not in self._partitions:
            self._partitions[topic] = self._reader.partitions_of(topic) if _is_topic(topic) else frozenset()
        return self._partitions[topic]


def replay_letters(settings: WorkerSettings, order: ReplayOrder) -> ExitCode:
    """Send letters back, or print what would be.

    Returns:
        OK when all that were asked for were sent, INPUT when some had to stay, INTERRUPTED when stopped before the end.

    Raises:
        SettingsError: a flag is wrong, or nobody can be asked whether to.
        ServiceError: the brokers do not answer; says where to go on.
    """
    console = Console(stderr=True)
    asks = not (order.dry_run or order.sure)
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise SettingsError("--yes: needed where nobody can be asked; --dry-run prints what would be sent")
    with LetterReader(settings, SystemClock()) as reader:
        replay = _Replay(settings, order, reader)
        if order.to_topic is not None and not replay.partitions_of(order.to_topic):
            raise SettingsError(f"--to-topic {order.to_topic}: no such topic on the brokers; create it")
        if order.dry_run:
            return _print_plan(replay, console)
        if asks and not _agreed(replay, console):
            console.print("nothing sent")
            return ExitCode.OK
        with StopSignals(settings.drain_deadline_s) as stop, _producer(settings) as producer:
            return _send_all(replay, _Lots(producer, settings.request_timeout_s), stop, console)


def _print_plan(replay: _Replay, console: Console) -> ExitCode:
    tally = _Tally()
    for letter, target in replay.letters(tally):
        tally.sent[target] += 1
        key = "-" if letter.record.key is None else letter.record.key.decode("utf-8", "backslashreplace")
        attempts = f"attempts={letter.attempts}"
        print(letter.place, "->", target, f"key={printable(key)}", letter.reason, attempts)
    tally.say(console, "would be sent")
    return ExitCode.INPUT if tally.refused else ExitCode.OK


def _agreed(replay: _Replay, console: Console) -> bool:
    tally = _Tally()
    reasons: Counter[str] = Counter()
    for letter, target in replay.letters(tally):
        tally.sent[target] += 1
        reasons[letter.reason] += 1
    tally.say(console, "would be sent")
    if not reasons:
        return False
    console.print(reason_counts(reasons), highlight=False)
    return console.input("Send them? [y/N] ", markup=False).strip().lower() in {"y", "yes"}


class _Lots:
    """Sends letters and waits for each lot's acknowledgements. Timestamps stay the original's."""

    def __init__(self, producer: KafkaProducer, timeout_s: float) -> None:
        self._producer = producer
        self._timeout_s = timeout_s
        self._open: list[tuple[Letter, str, Any]] = []

    @property
    def full(self) -> bool:
        """Whether it is time to wait."""
        return len(self._open) >= _LOT_LETTERS

    def send(self, letter: Letter, topic: str, partitions: Set[int]) -> None:
        """Send a letter; the one partition that may not be chosen by its key is the one it came from."""
        record = letter.record
        stamp = record.timestamp if letter.timestamp_ms is None else letter.timestamp_ms
        home = letter.partition if topic == letter.topic and letter.partition in partitions else None
        with self._told_where(letter):
            future = self._producer.send(
                topic,
                record.value,
                record.key,
                headers=replay_headers(letter),
                partition=home,
                timestamp_ms=stamp if stamp >= 0 else None,
            )
        self._open.append((letter, topic, future))

    def settle(self, tally: _Tally) -> None:
        """Wait until all that was sent is acknowledged, and count it.

        Raises:
            ServiceError: some of it is not; says from which letter on.
        """
        if not self._open:
            return
        with self._told_where(self._open[0][0]):
            self._producer.flush(timeout=self._timeout_s)
        for letter, topic, future in self._open:
            if future.exception is not None:
                with self._told_where(letter):
                    raise future.exception
            tally.sent[topic] += 1
        self._open.clear()

    def _told_where(self, letter: Letter) -> Any:
        at = letter.record
        return translated(f"letter {letter.place} not sent; go on with --partition {at.partition} --from {at.offset}")
