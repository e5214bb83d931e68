"""`dlq`: lists dead letters, shows one, and sends them back once the cause is fixed.

Owns the flags and their help. `letter` knows what a letter says, `reader` reads the topic, `show` prints, `redrive`
sends. Nothing here deletes or commits.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

from schemas.personal.mask import Masker
from worker.dead_letters.letter import REASONS, Selection
from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import POINT_SYNTAX, parse_bounds
from worker.settings import WorkerSettings

_SETTINGS: Final = "Other flags are settings: --kafka-bootstrap-servers, --dead-letter-topic ... (see `run --help`)."

_ABOUT: Final = f"""\
Records that could not be rated are in the dead-letter topic (WORKER_DEAD_LETTER_TOPIC) as they came, with headers that
say where each came from and why it was rejected. A letter is named PARTITION:OFFSET, its place in that topic.

examples:
  starstream-worker dlq list                                     the oldest 100, and counts by reason
  starstream-worker dlq list --reason not_json --from 2026-03-01 --json | jq .key
  starstream-worker dlq show 0:1234                              its headers
  starstream-worker dlq held                                     what waits behind an open breaker, and why
  starstream-worker dlq redrive --reason not_json --dry-run      what would be sent back, and what would be refused
  starstream-worker dlq redrive --reason not_json --yes

{_SETTINGS}
"""

_HELD: Final = f"""\
The dead-letter breaker stops the stream before too many records become dead letters. What stopped it is still in the
input topics. This reads from the group's committed offsets, parses as the worker does, and prints what would be
rejected and why, without the values. It joins no group and commits nothing, so it can run beside the workers. After a
setting was changed it shows whether that helps:

  WORKER_TEXT_FIELD=body starstream-worker dlq held

{_SETTINGS}
"""

_REDRIVE: Final = f"""\
Sends letters back to the topic they came from: same key, value, time and headers, without the dead-letter headers.
The letters themselves stay in the dead-letter topic: a second redrive sends them again. `dlq replay` is the older name
of this command. To rate history again with another model, use `replay`.

Loops: a letter carries how often its record was tried (starstream-attempts). A redrive sends the count along, a worker
that rejects the record again adds one, and a letter that was tried --max-attempts times is refused. Letters that
arrive while it runs are not read. Nothing is ever sent to the dead-letter topic or to the output topic.

A corrected review may have been sent since the original was rejected. In the same partition the redriven one is then
the later of the two, and its rating wins: filter by --reason, --from and --to when that matters.

Time: letters keep the time of their originals, and brokers delete by it. A letter that its topic would soon delete is
refused; --time now sends it with the present time, which makes it the newest version of its review everywhere.

examples:
  starstream-worker dlq redrive --dry-run
  starstream-worker dlq redrive --reason text_too_long --from 2026-03-01T09:00:00Z --yes
  starstream-worker dlq redrive --partition 0 --from 1200 --to 1300 --to-topic reviews.repaired --yes

exit codes:
  0 all selected letters were sent    2 wrong flag    4 Kafka refused; the line says where to continue
  9 some were refused, counted by reason    130 stopped before the end

{_SETTINGS}
"""


def add_command(commands: Any) -> None:
    """Register `dlq` and its verbs with the worker's parser."""
    dlq = commands.add_parser("dlq", help="look at dead letters, and send them back", **_text(_ABOUT))
    verbs = dlq.add_subparsers(dest="verb", required=True, metavar="{list,show,held,redrive}")

    lists = verbs.add_parser("list", help="print a table of letters, and counts by reason", **_text(_SETTINGS))
    _add_filters(lists)
    lists.add_argument("--limit", type=_count, metavar="N", help="most letters shown, 0: all; 100, with --json all")
    _add_keep(lists)
    lists.add_argument("--json", action="store_true", help="print JSON lines instead of a table")

    show = verbs.add_parser("show", help="print one letter's headers, and its value on request", **_text(_SETTINGS))
    show.add_argument("letter", metavar="PARTITION:OFFSET", help="as `list` names it; put it right after `show`")
    show.add_argument("--value", action="store_true", help="also print the value, which is personal data")

    _add_keep(show)

    held = verbs.add_parser("held", help="print the records that wait behind an open breaker", **_text(_HELD))
    held.add_argument(
        "--limit",
        type=_count,
        default=1000,
        metavar="N",
        help="most records read of a partition, 0: all (1000)",
    )
    _add_keep(held)
    held.add_argument("--json", action="store_true", help="print JSON lines instead of a table")

    redrive = verbs.add_parser("redrive", aliases=["replay"], help="send letters back", **_text(_REDRIVE))
    _add_filters(redrive)
    redrive.add_argument("--limit", type=_count, default=0, metavar="N", help="most letters sent, 0: all (default)")
    redrive.add_argument("--to-topic", metavar="T", help="instead of the topic each came from")
    redrive.add_argument(
        "--max-attempts", type=_count, default=3, metavar="N", help="refuse letters tried this often (default 3)"
    )
    redrive.add_argument(
        "--time", choices=("original", "now"), default="original", help="the time they are sent with (default original)"
    )
    redrive.add_argument("--dry-run", action="store_true", help="print what would be sent, send nothing")
    redrive.add_argument("--yes", action="store_true", help="send them: needed unless --dry-run")


def run(settings: WorkerSettings, known: argparse.Namespace) -> ExitCode:
    """Run the verb.

    Raises:
        WorkerError: a flag is wrong, or the brokers do not answer.
    """
    try:
        return _run(settings, known)
    except BrokenPipeError:  # `dlq list | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


def _run(settings: WorkerSettings, known: argparse.Namespace) -> ExitCode:
    # Imported where they are used: `--help` needs no Kafka.
    masker = Masker(keep=getattr(known, "keep_personal_data", False))
    if known.verb == "show":
        from worker.dead_letters.show import show_letter

        return show_letter(settings, *_place(known.letter), masker, with_value=known.value)
    if known.verb == "held":
        from worker.dead_letters.held import list_held

        return list_held(settings, known.limit, masker, as_json=known.json)
    selection = _selection(known)
    if known.verb == "list":
        from worker.dead_letters.show import list_letters

        return list_letters(settings, selection, known.limit, masker, as_json=known.json)
    from worker.dead_letters.redrive import RedriveOrder, redrive

    if known.to_topic in {settings.dead_letter_topic, settings.output_topic}:
        raise SettingsError(f"--to-topic {known.to_topic}: never the dead-letter topic or the output topic")
    if not (known.yes or known.dry_run):
        raise SettingsError("--yes: needed to send the letters; --dry-run prints what would be sent")
    order = RedriveOrder(
        selection=selection,
        to_topic=known.to_topic,
        max_attempts=known.max_attempts,
        as_of_now=known.time == "now",
        limit=known.limit,
        dry_run=known.dry_run,
    )
    return redrive(settings, order)


def _add_keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-personal-data",
        action="store_true",
        help="do not mask e-mail addresses, phone, card and IBAN numbers; only where the law allows it",
    )


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", action="append", default=[], metavar="R", help="only this reason; repeatable")
    parser.add_argument(
        "--from",
        dest="start",
        default="earliest",
        metavar="WHEN",
        help=f"first letter: {POINT_SYNTAX}; times are those `list` shows, an offset counts in each partition",
    )
    parser.add_argument("--to", dest="end", default="latest", metavar="WHEN", help="where to stop, itself not included")
    parser.add_argument("--topic", metavar="T", help="only letters that came from this topic")
    parser.add_argument("--partition", type=_count, metavar="P", help="only this partition of the dead-letter topic")


def _selection(known: argparse.Namespace) -> Selection:
    unknown = set(known.reason) - set(REASONS)
    if unknown:
        raise SettingsError(f"--reason {', '.join(sorted(unknown))}: not one of {', '.join(REASONS)}")
    return Selection(*parse_bounds(known.start, known.end), known.reason, known.topic, known.partition)


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isdigit() and offset.isdigit()):
        raise SettingsError(f"show {text}: not PARTITION:OFFSET, such as 0:1234, right after `show`")
    return int(partition), int(offset)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text}: not a whole number")
    return int(text)


def _text(text: str) -> dict[str, Any]:
    """Return how a command prints its help; no abbreviations, which could swallow a setting's flag."""
    return {"epilog": text, "formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
