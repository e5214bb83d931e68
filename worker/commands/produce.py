"""`produce`: sends the reviews of a file or of standard input to Kafka, as the contract has them.

Owns the messages and the pace. Fields are found as everywhere (`--input-preset`, `--text-field`), so an export goes in
as it is, and workers need no setting for it. An invalid row is reported and not sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from math import inf
from types import SimpleNamespace
from typing import Final, NamedTuple

from rich.console import Console

from schemas.input.fields import FieldFinder
from schemas.input.files import has_header, read_rows
from schemas.input.text_files import STDIN, FileError, FileOptions
from schemas.input.value import InvalidReviewError
from schemas.rating import CONTENT_TYPE
from schemas.review import Review
from worker.clock import SystemClock
from worker.commands.columns import check_columns
from worker.commands.row_batches import batches, live_batches
from worker.errors import ExitCode, RefusedError, SettingsError
from worker.kafka.outgoing import Outgoing
from worker.ops.progress import LongRun
from worker.ops.signals import StopSignals
from worker.redis.ratings import RatingsInRedis
from worker.setting_forms import topic_name
from worker.settings import WorkerSettings

_AT_ONCE: Final = 500
_SHOWN_FAULTS: Final = 20


class Message(NamedTuple):
    """A review to send; without an id there is no key."""

    key: str | None
    value: bytes


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Send the file, and say how many reviews were sent, left out, and not reviews.

    Raises:
        WorkerError: a flag or the file is wrong, or Kafka or Redis does not answer.
    """
    _check(settings, known)
    console, clock = Console(stderr=True), SystemClock()
    try:
        rows = _Rows(settings, known.input, FileOptions(known.encoding, known.delimiter), console)
    except ValueError as error:
        raise SettingsError(f"--{error}") from error
    try:
        topic = topic_name(known.topic or settings.input_topics[0])
    except ValueError as error:
        raise SettingsError(f"--topic: {error}") from error
    # In batches that take a tenth of a second, so that the pace is even.
    at_once = min(_AT_ONCE, max(1, round(known.rate / 10))) if known.rate else _AT_ONCE
    sent = left_out = unnamed = refused = 0
    with StopSignals(settings.drain_deadline_s) as stop, ExitStack() as stack:
        send = _print if known.dry_run else _opened(settings, topic, stack)
        ratings = RatingsInRedis(settings) if known.skip_known else None
        progress = stack.enter_context(LongRun(console, clock, "sending", None, unit="reviews"))
        live = known.input == STDIN
        for batch in live_batches(rows, at_once, clock, lambda: stop.asked) if live else batches(rows, at_once):
            if stop.asked:
                break
            new = batch if ratings is None else _unknown(batch, ratings)
            try:
                send(new)
            except RefusedError as error:
                refused += len(error.records)
                console.print(f"{len(error.records)} reviews are refused: {error}", markup=False, soft_wrap=True)
            sent += len(new)
            left_out += len(batch) - len(new)
            unnamed += sum(message.key is None for message in new)
            progress.update(sent, "")
            if known.rate:
                stop.wait(max(0.0, sent / known.rate - progress.seconds))
    verb = "would be sent" if known.dry_run else "sent"
    skipped = f", {left_out} left out: they have a rating" if known.skip_known else ""
    reviews = f"{sent - refused} review{'' if sent - refused == 1 else 's'}"
    wrong = "1 row is invalid" if rows.wrong == 1 else f"{rows.wrong} rows are invalid"
    console.print(f"{reviews} {verb} to {topic}{skipped}, {wrong}", highlight=False)
    for name, count in rows.ignored.items():
        console.print(f"{count} without {name}: it could not be read", highlight=False)
    if unnamed:
        console.print(f"{unnamed} have no id: sent again, they are rated again (--id-field names it)", highlight=False)
    if stop.asked:
        return ExitCode.INTERRUPTED
    return ExitCode.INPUT if rows.wrong or refused else ExitCode.OK


def _check(settings: WorkerSettings, known: SimpleNamespace) -> None:
    if not 0 <= known.rate < inf:
        raise SettingsError(f"--rate {known.rate:g}: expected 0 or more reviews a second")
    if settings.input_format in {"avro", "json_schema"} and not known.topic:
        raise SettingsError(
            f"WORKER_INPUT_FORMAT={settings.input_format}: produce sends JSON, which the workers would not take; "
            "name another topic with --topic, or set it to auto"
        )


class _Rows:
    """The messages of a file, in order; invalid rows are counted, and the first of them reported."""

    def __init__(self, settings: WorkerSettings, source: str, how: FileOptions, console: Console) -> None:
        self.wrong = 0
        self.ignored: Counter[str] = Counter()  # fields that could not be read, and are not in the message
        self._console = console
        self._messages = self._read(settings, source, how)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        return next(self._messages)

    def _read(self, settings: WorkerSettings, source: str, how: FileOptions) -> Iterator[Message]:
        finder = FieldFinder(settings.field_paths)
        try:
            for row in read_rows(source, how):
                if row.number == 1 and has_header(source):
                    check_columns(source, row.columns, finder, settings, self._console)
                try:
                    review = row.review(finder, settings.max_text_chars)
                except InvalidReviewError as error:
                    self.wrong += 1
                    if self.wrong <= _SHOWN_FAULTS:
                        line = f"{source}: {row.where}: {error}"
                        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
                    continue
                self.ignored.update(review.ignored)
                yield message_of(review)
        except FileError as error:
            raise SettingsError(f"--input {error}") from error


def _opened(settings: WorkerSettings, topic: str, stack: ExitStack) -> Callable[[Sequence[Message]], None]:
    """Return what sends messages and waits until the brokers have them."""
    from worker.kafka.python.sender import Sender
    from worker.kafka.python.topics import Topics

    with closing(Topics(settings, SystemClock())) as topics:
        topics.require([topic], "--topic")
    sender = stack.enter_context(closing(Sender(settings)))

    def send(messages: Sequence[Message]) -> None:
        for message in messages:
            key = None if message.key is None else message.key.encode()
            sender.send(Outgoing(topic, key, message.value, [("content-type", CONTENT_TYPE)], None), f"send to {topic}")
        sender.flush()

    return send


def _print(messages: Sequence[Message]) -> None:
    for message in messages:
        print(message.value.decode())


def _unknown(messages: Sequence[Message], ratings: RatingsInRedis) -> list[Message]:
    known = ratings.find([message.key for message in messages if message.key is not None])
    return [message for message in messages if message.key not in known]


def message_of(review: Review) -> Message:
    """Return the message of a review: the contract's own names, without what is not known."""
    fields = {
        "review_id": review.review_id,
        "app_id": review.app_id,
        "text": review.text,
        "score": review.score,
        "created_at": review.created_at,
        "app_version": review.app_version,
    }
    value = json.dumps({name: part for name, part in fields.items() if part is not None}, ensure_ascii=False)
    return Message(review.review_id, value.encode())
