"""`dlq replay`: sends dead letters back to where they came from, or to another topic.

Owns the order of it: the ends are taken first, then letters are read, guarded, sent and acknowledged in lots, so what
is in flight is bounded. Letters stay in the dead-letter topic; nothing here deletes.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from rich.console import Console
from rich.text import Text

from worker.clock import SystemClock
from worker.dead_letters.letter import REFUSALS, Guard, Letter, Refusal, Wanted
from worker.dead_letters.reader import LetterReader
from worker.dead_letters.sender import Sender, open_sender
from worker.dead_letters.show import printable, reason_counts
from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import Span
from worker.kafka.python.retention import retention_ms
from worker.ops.progress import LongRun
from worker.ops.signals import StopSignals
from worker.records import Partition
from worker.settings import WorkerSettings

# Older than this share of its topic's retention, a letter may be deleted before it is read.
_RETENTION_SHARE: Final = 0.9
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")  # a header may say anything; the client raises at other names


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What to send back, and how.

    Attributes:
        as_of_now: send them with the present time instead of the original's.
        limit: most letters to send; 0 for all.
        dry_run: only print.
        sure: do not ask.
    """

    wanted: Wanted
    to_topic: str | None
    max_attempts: int
    as_of_now: bool = False
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
        _say(console, f"{self.sent.total()} letters {verb}" + (f": {topics}" if topics else ""))
        for refusal, count in self.refused.items():
            _say(console, f"{count} not: {REFUSALS[refusal]}")


class _Run:
    """One run: the letters of the spans taken at its start, judged in order."""

    def __init__(self, settings: WorkerSettings, order: ReplayOrder, reader: LetterReader) -> None:
        self._order = order
        self._reader = reader
        self._guard = Guard(
            order.to_topic, {settings.dead_letter_topic, settings.output_topic}, max_attempts=order.max_attempts
        )
        self._settings = settings
        self._now_ms = round(SystemClock().wall() * 1000)
        self._partitions: dict[str, Set[int]] = {}
        self._oldest_ms: dict[str, int | None] = {}
        self.spans: Mapping[Partition, Span] = reader.spans(order.wanted)

    def letters(self, tally: _Tally) -> Iterator[tuple[Letter, str]]:
        """Yield the letters that may go, with their topic, at most `limit`; count those met that may not."""
        return islice(self._allowed(tally), self._order.limit or None)

    def partitions_of(self, topic: str) -> Set[int]:
        """Return a topic's partitions, asking once; empty when there is no such topic, or none can have that name."""
        if topic not in self._partitions:
            self._partitions[topic] = self._reader.partitions_of(topic) if _TOPIC.fullmatch(topic) else frozenset()
        return self._partitions[topic]

    @property
    def offsets(self) -> int:
        """How many offsets are to be read."""
        return sum(span.size for span in self.spans.values())

    def passed(self, letter: Letter) -> int:
        """Return how many offsets were read, up to a letter: the partitions before its own, and its own so far."""
        done = 0
        for partition, span in self.spans.items():
            if partition.partition == letter.record.partition:
                return done + letter.record.offset + 1 - span.start
            done += span.size
        return done

    def _oldest_of(self, topic: str) -> int | None:
        """Return the oldest time a letter to this topic may have, asking once; None when there is no such topic."""
        if topic not in self._oldest_ms:
            if not self.partitions_of(topic):
                self._oldest_ms[topic] = None
            else:
                kept_ms = None if self._order.as_of_now else retention_ms(self._settings, topic)
                self._oldest_ms[topic] = 0 if kept_ms is None else self._now_ms - round(kept_ms * _RETENTION_SHARE)
        return self._oldest_ms[topic]

    def _allowed(self, tally: _Tally) -> Iterator[tuple[Letter, str]]:
        for letter in self._reader.read(self.spans, self._order.wanted):
            target = self._guard.target(letter)
            refusal = self._guard.refusal(letter, None if target is None else self._oldest_of(target))
            if refusal is not None:
                tally.refused[refusal] += 1
            elif target is not None:
                yield letter, target


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
        run = _Run(settings, order, reader)
        if order.to_topic is not None and not run.partitions_of(order.to_topic):
            raise SettingsError(f"--to-topic {order.to_topic}: no such topic on the brokers; create it")
        if order.dry_run:
            return _print_plan(run, console)
        if asks and not _agreed(run, console):
            _say(console, "nothing sent")
            return ExitCode.INTERRUPTED
        with StopSignals(settings.drain_deadline_s) as stop, open_sender(settings, as_of_now=order.as_of_now) as sender:
            return _send_all(run, sender, stop, console)


def _print_plan(run: _Run, console: Console) -> ExitCode:
    tally = _Tally()
    for letter, target in run.letters(tally):
        tally.sent[target] += 1
        key = "-" if letter.record.key is None else letter.record.key.decode("utf-8", "backslashreplace")
        attempts = f"attempts={letter.attempts}"
        print(letter.place, "->", target, f"key={printable(key)}", letter.reason, attempts)
    tally.say(console, "would be sent")
    return ExitCode.INPUT if tally.refused else ExitCode.OK


def _agreed(run: _Run, console: Console) -> bool:
    tally = _Tally()
    reasons: Counter[str] = Counter()
    for letter, target in run.letters(tally):
        tally.sent[target] += 1
        reasons[letter.reason] += 1
    tally.say(console, "would be sent")
    if not reasons:
        return True  # nothing to ask about; the exit code says why
    _say(console, reason_counts(reasons))
    return console.input(Text("Send them? [y/N] ")).strip().lower() in {"y", "yes"}


def _send_all(run: _Run, sender: Sender, stop: StopSignals, console: Console) -> ExitCode:
    tally = _Tally()
    stopped_at = None
    with LongRun(console, SystemClock(), "sending", run.offsets) as progress:
        for letter, target in run.letters(tally):
            if stop.asked:
                stopped_at = letter.place
                break
            sender.send(letter, target, run.partitions_of(target))
            if sender.full:
                tally.sent.update(sender.settle())
                sent = tally.sent.total()
                progress.update(run.passed(letter), f"{sent} letters, {progress.rate(sent):.0f}/s")
        tally.sent.update(sender.settle())
    tally.say(console, "sent")
    if stopped_at is not None:
        _say(console, f"stopped: letter {stopped_at} and those after it were not looked at")
        return ExitCode.INTERRUPTED
    return ExitCode.INPUT if tally.refused else ExitCode.OK


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
