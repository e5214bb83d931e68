"""`dlq`: what each verb does: lists dead letters, shows one, and sends them back once the cause is fixed.

Owns the checks of their flags, declared in `command_line`. `letter` knows what a letter says, `reader` reads the
topic, `show` prints, `redrive` sends. Nothing here deletes or commits.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

from schemas.personal.mask import Masker
from worker.clock import SystemClock
from worker.dead_letters.letter import Selection
from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import parse_bounds
from worker.settings import WorkerSettings


def list(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:  # noqa: A001 - the verb's name
    """Print letters.

    Raises:
        WorkerError: a flag is wrong, or the brokers do not answer.
    """
    from worker.dead_letters.show import list_letters

    return list_letters(settings, _selection(known), known.limit, _masker(known), as_json=known.json)


def show(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Print one letter.

    Raises:
        WorkerError: there is no such letter, or the brokers do not answer.
    """
    from worker.dead_letters.show import show_letter

    place = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,18})", known.letter)
    if place is None:
        raise SettingsError(f"dlq show {known.letter}: takes PARTITION:OFFSET, such as 0:1234, as `dlq list` names it")
    return show_letter(settings, int(place[1]), int(place[2]), _masker(known), with_value=known.value)


def held(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Print what waits behind an open breaker.

    Raises:
        WorkerError: the brokers do not answer.
    """
    from worker.dead_letters.held import list_held

    return list_held(settings, known.limit, _masker(known), as_json=known.json)


def redrive(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Send letters back.

    Raises:
        WorkerError: a flag is wrong, or the brokers do not answer.
    """
    from worker.dead_letters import redrive as sends

    selection = _selection(known)
    if known.to_topic in {settings.dead_letter_topic, settings.output_topic}:
        raise SettingsError(f"--to-topic {known.to_topic}: never the dead-letter topic or the output topic")
    if not (known.yes or known.dry_run):
        raise SettingsError("--yes: needed to send the letters; --dry-run prints what would be sent")
    order = sends.RedriveOrder(
        selection=selection,
        to_topic=known.to_topic,
        max_attempts=known.max_attempts,
        as_of_now=known.time == "now",
        limit=known.limit,
        only_new=known.new,
        dry_run=known.dry_run,
    )
    return sends.redrive(settings, order)


def _masker(known: SimpleNamespace) -> Masker:
    return Masker(keep=known.keep_personal_data)


def _selection(known: SimpleNamespace) -> Selection:
    return Selection(
        *parse_bounds(known.start, known.end, SystemClock().wall()), [*known.reason], known.topic, known.partition
    )
