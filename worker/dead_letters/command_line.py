"""The help and the flags of `dlq` and its verbs.

Owns both apart from the commands, so that `--help` loads no client. `command` has what each verb does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from schemas.command_line.options import COUNT, OneOf, Option, Words
from schemas.command_line.page import Page
from schemas.command_line.program import Command, Program
from worker.command import BROKERS, INPUT, OTHERS, json_flag, worker_command
from worker.dead_letters.letter import REASONS
from worker.kafka.offset_range import AGO_SYNTAX

_DLQ: Final = Page(
    """\
Look at the records that could not be rated, and send them back.

They are in the dead-letter topic (WORKER_DEAD_LETTER_TOPIC) as they came, with
headers that say where each came from and why it was rejected. A letter is named
PARTITION:OFFSET, its place in that topic.""",
    """\
  starstream-worker dlq list               the oldest 100, and counts by reason
  starstream-worker dlq list --reason not_json --from 7d --json | jq .key
  starstream-worker dlq show 0:1234
  starstream-worker dlq held               what an open breaker holds up
  starstream-worker dlq redrive --reason not_json --dry-run
  starstream-worker dlq redrive --reason not_json --yes""",
)
_LIST: Final = Page(
    "Print a table of letters, and counts by reason.",
    """\
  starstream-worker dlq list
  starstream-worker dlq list --reason not_json --from 2026-03-01
  starstream-worker dlq list --json | jq -r .message""",
    rest=OTHERS,
)
_SHOW: Final = Page(
    "Print one letter's headers, and its value on request.",
    """\
  starstream-worker dlq show 0:1234
  starstream-worker dlq show 0:1234 --value""",
    rest=OTHERS,
)
_HELD: Final = Page(
    """\
Print the records that wait behind an open breaker, and why.

The dead-letter breaker stops the stream before too many records become dead
letters. What stopped it is still in the input topics. This reads from the group's
committed offsets, parses as the worker does, and prints what would be rejected and
why, without the values. It joins no group and commits nothing, so it can run
beside the workers. After a setting was changed it shows whether that helps.""",
    """\
  starstream-worker dlq held
  starstream-worker dlq held --text-field body""",
    rest=OTHERS,
)
_REDRIVE: Final = Page(
    """\
Send letters back to the topic they came from.

Same key, value, time and headers, without the dead-letter headers. The letters
themselves stay in the dead-letter topic: a second redrive sends them again, and
says so, without --new. To rate history again with another model, use
`starstream-worker replay`.""",
    """\
  starstream-worker dlq redrive --dry-run
  starstream-worker dlq redrive --reason text_too_long --from 2d --yes
  starstream-worker dlq redrive --new --yes
  starstream-worker dlq redrive --partition 0 --from 1200 --to 1300 \\
      --to-topic reviews.repaired --yes""",
    """\
Loops: a letter carries how often its record was tried (starstream-attempts). A
redrive sends the count along, a worker that rejects the record again adds one, and
a letter that was tried --max-attempts times is refused. Letters that arrive while
it runs are not read. Nothing is ever sent to the dead-letter or the output topic.

A corrected review may have been sent since the original was rejected. In the same
partition the redriven one is then the later of the two, and its rating wins:
filter by --reason, --from and --to when that matters.

--new: the group <group id>-redrive keeps the last letter sent of each partition,
whatever the filters were; what lies before it is left out. A record without a key
gets its position as its key, which is its review's id, so that a second redrive
is the same review.

Time: letters keep the time of their originals, and brokers delete by it. A letter
that its topic would soon delete is refused; --time now sends it with the present
time, which makes it the newest version of its review everywhere.""",
    """\
  0  all selected letters were sent    2  wrong flag
  4  Kafka refused; the line says where to continue
  9  some were refused, counted by reason    130  stopped before the end""",
    OTHERS,
)
_MODULE: Final = "worker.dead_letters.command"
_LIMIT: Final[dict[str, Any]] = {"type": COUNT, "metavar": "N"}


def dlq_command() -> Program:
    """Return `dlq` and its verbs."""
    verbs = {
        "list": ("a table of letters, and counts by reason", _list_command),
        "show": ("one letter's headers, and its value on request", _show_command),
        "held": ("what waits behind an open breaker", _held_command),
        "redrive": ("send letters back", _redrive_command),
    }
    dlq = Program("dlq", _DLQ, {"Commands": verbs})
    dlq.older_name("replay", "redrive")
    return dlq


def _list_command() -> Command:
    limit = Option("--limit", **_LIMIT, help="most letters shown, 0: all  [default: 100; with --json all]")
    return _verb("list", _LIST, [*_filters(), limit, _keep(), _json()])


def _show_command() -> Command:
    own = [
        Option("--letter", metavar="PARTITION:OFFSET", help="as `dlq list` names it"),
        Option("--value", is_flag=True, help="also print the value, which is personal data"),
        _keep(),
    ]
    return _verb("show", _SHOW, own, Words("--letter", "PARTITION:OFFSET"))


def _held_command() -> Command:
    limit = Option("--limit", **_LIMIT, default=1000, help="most records read of a partition, 0: all  [default: 1000]")
    return _verb("held", _HELD, [limit, _keep(), _json()])


def _redrive_command() -> Command:
    own = [
        *_filters(),
        Option("--limit", **_LIMIT, default=0, help="most letters sent, 0: all  [default: 0]"),
        Option("--to-topic", metavar="T", help="instead of the topic each came from"),
        Option("--max-attempts", **_LIMIT, default=3, help="refuse letters tried this often  [default: 3]"),
        Option(
            "--time",
            type=OneOf("original", "now"),
            default="original",
            metavar="original|now",
            help="the time they are sent with  [default: original]",
        ),
        Option("--new", is_flag=True, help="only letters behind the last that was sent"),
        Option("--dry-run", is_flag=True, help="print what would be sent, send nothing"),
        Option("--yes", "-y", is_flag=True, help="send them: needed unless --dry-run"),
    ]
    return _verb("redrive", _REDRIVE, own)


def _verb(name: str, page: Page, own: Sequence[Option], words: Words | None = None) -> Command:
    groups = [BROKERS, "input_topics", "group_id", INPUT] if name == "held" else [BROKERS, "dead_letter_topic"]
    groups += ["group_id"] if name == "redrive" else []
    return worker_command(page, _MODULE, name, name=name, own=own, words=words, groups=groups)


def _keep() -> Option:
    return Option(
        "--keep-personal-data",
        is_flag=True,
        help="do not mask e-mail addresses, phone, card and IBAN numbers; only where the law allows it",
    )


def _json() -> Option:
    return json_flag("print JSON lines instead of a table")


def _filters() -> list[Option]:
    return [
        Option(
            "--reason",
            type=OneOf(*REASONS),
            multiple=True,
            metavar="R",
            help=f"only this reason; repeatable: {', '.join(REASONS)}",
        ),
        Option(
            "--from",
            "start",
            default="earliest",
            metavar="WHEN",
            help=f"first letter: {AGO_SYNTAX}; times are those `dlq list` shows, an offset counts in each partition",
        ),
        Option("--to", "end", default="latest", metavar="WHEN", help="where to stop, itself not included"),
        Option("--topic", metavar="T", help="only letters that came from this topic"),
        Option("--partition", type=COUNT, metavar="P", help="only this partition of the dead-letter topic"),
    ]
