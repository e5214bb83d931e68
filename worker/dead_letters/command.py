"""`dlq`: look at the dead letters, and send them back once what was wrong is mended.

Owns the command's flags and their help. `dlq_letters` knows what a letter says, `dlq_reader` reads the topic,
`dlq_show` prints, `dlq_replay` sends. Nothing here deletes or commits.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import EARLIEST, HOW, LATEST, parse_point
from worker.settings import WorkerSettings

if TYPE_CHECKING:
    from worker.dead_letters.letter import Wanted

_SETTINGS = "Other flags are settings: --kafka-bootstrap-servers, --dead-letter-topic ... (see `run --help`)."

_ABOUT = f"""\
What could not be rated lies in the dead-letter topic (WORKER_DEAD_LETTER_TOPIC) as it came, with headers that say
where it came from and why it is there. A letter is named PARTITION:OFFSET, its place in that topic.

examples:
  starstream-worker dlq list                                     the oldest 100, and how many there are by reason
  starstream-worker dlq list --reason not_json --from 2026-03-01 --json | jq .key
  starstream-worker dlq show 0:1234                              its headers
  starstream-worker dlq replay --reason not_json --dry-run       what would be sent back, and what may not
  starstream-worker dlq replay --reason not_json --yes

{_SETTINGS}
"""

_REPLAY = f"""\
Sends letters back to the topic they came from: same key, value, time and headers, without the dead-letter families.
The letters themselves stay where they are: a second replay sends them again.

Loops: a letter carries how often its record was tried (starstream-attempts). A replay sends the count along, a worker
that rejects the record again adds one, and a letter that was tried --max-attempts times is refused. Letters that
arrive while it runs are not read. Nothing is ever sent to the dead-letter topic or to the output topic.

A review may have been sent again, mended, since it was rejected. In the same partition the replayed one is then the
later of the two, and its rating wins: filter by --reason, --from and --to when that matters.

Time: letters keep the time of their originals, and brokers delete by it. One that its topic would soon delete is
refused; --time now sends it as of now, which makes it the newest of its review everywhere.

examples:
  starstream-worker dlq replay --dry-run
  starstream-worker dlq replay --reason text_too_long --from 2026-03-01T09:00:00Z --yes
  starstream-worker dlq replay --partition 0 --from 1200 --to 1300 --to-topic reviews.repaired --yes

exit codes:
  0 all that were asked for were sent    2 wrong flag    4 Kafka refused; the line says where to go on
  9 some had to stay, and are counted by why    130 stopped before the end

{_SETTINGS}
"""


def add_command(commands: Any) -> None:
    """Register `dlq` and its verbs with the worker's parser."""
    dlq = commands.add_parser("dlq", help="look at dead letters, and send them back", **_text(_ABOUT))
    verbs = dlq.add_subparsers(dest="verb", required=True, metavar="{list,show,replay}")

    lists = verbs.add_parser("list", help="a table of letters, and how many there are by reason", **_text(_SETTINGS))
    _add_filters(lists)
    lists.add_argument("--limit", type=_count, metavar="N", help="most letters shown, 0: all; 100, with --json all")
    lists.add_argument("--json", action="store_true", help="JSON lines on standard output instead of a table")

    show = verbs.add_parser("show", help="one letter: its headers, and its value when asked", **_text(_SETTINGS))
    show.add_argument("letter", metavar="PARTITION:OFFSET", help="as `list` names it; put it right after `show`")
    show.add_argument("--value", action="store_true", help="also what was written, which is personal data")

    replay = verbs.add_parser("replay", help="send letters back", **_text(_REPLAY))
    _add_filters(replay)
    replay.add_argument("--limit", type=_count, default=0, metavar="N", help="most letters sent, 0: all (default)")
    replay.add_argument("--to-topic", metavar="T", help="instead of the topic each came from")
    replay.add_argument(
        "--max-attempts", type=_count, default=3, metavar="N", help="refuse letters tried so often (default 3)"
    )
    replay.add_argument(
        "--time", choices=("original", "now"), default="original", help="the time they are sent with (default original)"
    )
    replay.add_argument("--dry-run", action="store_true", help="print what would be sent, send nothing")
    replay.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")


def run(settings: WorkerSettings, known: argparse.Namespace) -> ExitCode:
    """Run the verb asked for.

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
    if known.verb == "show":
        from worker.dead_letters.show import show_letter

        return show_letter(settings, *_place(known.letter), with_value=known.value)
    if known.verb == "list":
        from worker.dead_letters.show import list_letters

        return list_letters(settings, _wanted(known), known.limit, as_json=known.json)
    from worker.dead_letters.redrive import ReplayOrder, replay_letters

    if known.to_topic in {settings.dead_letter_topic, settings.output_topic}:
        raise SettingsError(f"--to-topic {known.to_topic}: never the dead-letter topic or the output topic")
    order = ReplayOrder(
        wanted=_wanted(known),
        to_topic=known.to_topic,
        max_attempts=known.max_attempts,
        as_of_now=known.time == "now",
        limit=known.limit,
        dry_run=known.dry_run,
        sure=known.yes,
    )
    return replay_letters(settings, order)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", action="append", default=[], metavar="R", help="only of this reason; repeatable")
    parser.add_argument(
        "--from",
        dest="start",
        default="earliest",
        metavar="WHEN",
        help=f"first letter: {HOW}; times are those `list` shows, an offset counts in each partition",
    )
    parser.add_argument("--to", dest="end", default="latest", metavar="WHEN", help="where to end, itself not included")
    parser.add_argument("--topic", metavar="T", help="only what came from this topic")
    parser.add_argument("--partition", type=_count, metavar="P", help="only this partition of the dead-letter topic")


def _wanted(known: argparse.Namespace) -> Wanted:
    from worker.dead_letters.letter import REASONS, Wanted

    unknown = set(known.reason) - set(REASONS)
    if unknown:
        raise SettingsError(f"--reason {', '.join(sorted(unknown))}: not one of {', '.join(REASONS)}")
    start, end = parse_point("--from", known.start), parse_point("--to", known.end)
    if start == LATEST or end == EARLIEST:
        raise SettingsError("--from latest, --to earliest: that leaves nothing")
    return Wanted(start, end, known.reason, known.topic, known.partition)


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
    """Return how a command shows its page; no abbreviations, which could swallow a setting's flag."""
    return {"epilog": text, "formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
