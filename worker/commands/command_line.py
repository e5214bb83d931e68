"""The flags of `predict`, `produce`, `get`, `watch`, `explain`, `erase`, `status` and `restore`.

Owns their names and help, apart from the commands, so that `--help` loads no client and no model. `worker.__main__`
calls the command.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from typing_extensions import override

from schemas.input.files import ENDINGS
from worker.errors import SettingsError
from worker.kafka.offset_range import POINT_SYNTAX
from worker.words.period import BYS, SINCE_SYNTAX

_PRODUCE: Final = """\
Each review becomes {"review_id", "app_id", "text", "score", "created_at", "app_version"}, as far as it has them, with
its id as the key. The same id again is the same review: its rating is replaced. A review without an id gets one from
its place in the topic, so sending it twice rates it twice.

examples:
  starstream-worker produce --input reviews.csv
  starstream-worker produce --input reviews_com.x_202611.csv --input-preset play-console --skip-known
  my-scraper --json | starstream-worker produce --input - --input-preset google-play-scraper --rate 200

exit codes:
  0 all were sent    2 wrong flag or file    4 Kafka refused    5 Redis refused (--skip-known)
  9 some rows were not reviews    130 stopped before the end

Other flags are settings: --kafka-bootstrap-servers, --text-field, --input-preset ... (see `run --help`).
"""
_GET: Final = """\
examples:
  starstream-worker get --id r-1
  starstream-worker get --app my.app --json | jq .mean
  starstream-worker get --app my.app --words --since 7d --by version

exit codes:
  0 found    2 wrong flag    5 Redis refused    9 there is none

Other flags are settings: --redis-url, --redis-prefix ... (see `run --help`).
"""
_WATCH: Final = """\
examples:
  starstream-worker watch
  starstream-worker watch --app my.app --max-stars 2 --with-text
  starstream-worker watch --last 100 --json | jq .rating

exit codes:
  0 stopped by a signal, or --count were shown    2 wrong flag    4 Kafka refused

Other flags are settings: --kafka-bootstrap-servers, --output-topic ... (see `run --help`).
"""
_EXPLAIN: Final = """\
Green words push the stars up, red ones down, dim ones do nothing; underlined ones the model has never seen. A word's
effect is by how much the expected stars change when it is left out; the effects do not add up, because words share
their meaning. Those of pairs are of the model's linear part. A stored rating is explained by the version that gave it.

examples:
  starstream-worker explain "love it, but it crashes"
  starstream-worker explain --id r-1
  starstream-worker explain "love it, but it crashes" --json | jq .explanation.words

exit codes:
  0 explained    2 wrong flag    3 no bundle    4 Kafka refused    5 Redis refused
  9 there is no such rating, or the topic has its text no more

Other flags are settings: --registry, --channel, --model-version ... (see `run --help`).
"""
_ERASE: Final = """\
Sends tombstones: to the input topic, so that the workers delete the rating in Redis and publish a tombstone; to the
dead-letter topic, for letters of this review; and to WORKER_SHADOW_TOPIC, if it is set. Then it waits until the rating
has left Redis, and prints what is out of reach, such as older records of topics that are not compacted.

examples:
  starstream-worker erase r-1 --dry-run
  starstream-worker erase r-1

exit codes:
  0 erased    2 wrong flag    4 Kafka refused    5 Redis refused    9 Redis still has the rating: no worker runs

Other flags are settings: --kafka-bootstrap-servers, --redis-url ... (see `run --help`).
"""
_STATUS: Final = """\
One worker's page is asked too: the one at WORKER_HTTP_HOST and WORKER_HTTP_PORT, if it runs on this machine.

exit codes:
  0 all parts answered    4, 5, 3 Kafka, Redis or the registry did not

Other flags are settings: --kafka-bootstrap-servers, --group-id ... (see `run --help`).
"""
_RESTORE: Final = """\
Writes the ratings and deletions that the output topic still has, each for the rest of its time to live. What a worker
has written since stays, and a second run changes nothing.

examples:
  starstream-worker restore
  starstream-worker restore --from 2026-11-27T08:00Z       by the time at which a rating was published

exit codes:
  0 reached the end    2 wrong flag    4 Kafka refused    5 Redis refused    130 stopped before the end

Other flags are settings: --output-topic, --redis-prefix ... (see `run --help`).
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the command that was probably meant."""

    @override
    def error(self, message: str) -> NoReturn:
        typed = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        near = difflib.get_close_matches(typed[1], re.findall(r"[\w-]+", typed[2]), 1) if typed else []
        super().error(f"{message}; did you mean {near[0]}?" if near else message)


def require_known_flags(flags: Sequence[str], settings: Iterable[str]) -> None:
    """Refuse a flag that is no setting's, before a parser that knows all settings answers with all of them.

    Args:
        flags: what the command itself did not take.
        settings: the names of the settings.

    Raises:
        SettingsError: naming the nearest flag.
    """
    known = [f"--{name.replace('_', '-')}" for name in settings] + ["--help"]
    for flag in flags:
        name = flag.partition("=")[0]
        if name.startswith("--") and name not in known and name.replace("--no-", "--", 1) not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise SettingsError(f"{name}: no such flag; {f'did you mean {near[0]}?' if near else 'see `run --help`'}")


def add_commands(commands: Any) -> None:
    """Register the commands with the worker's parser."""
    for add in (_add_predict, _add_produce, _add_get, _add_watch, _add_explain, _add_erase, _add_status, _add_restore):
        add(commands)


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="rate a file of reviews, without Kafka",
        epilog="Other flags are settings: --registry, --channel, --text-field, --input-preset (see `run --help`).",
    )
    _add_input(parser)
    parser.add_argument("--output", default="-", help=".csv: every row, with our columns; else JSON lines; -: stdout")
    parser.add_argument("--text-column", help="the same as --text-field")


def _add_produce(commands: Any) -> None:
    parser = commands.add_parser(
        "produce",
        help="send the reviews of a file to Kafka",
        **_text(_PRODUCE),
    )
    _add_input(parser)
    parser.add_argument("--topic", metavar="T", help="default: the first of WORKER_INPUT_TOPICS")
    parser.add_argument("--rate", type=float, default=0.0, metavar="N", help="most reviews a second; 0: all at once")
    parser.add_argument("--skip-known", action="store_true", help="leave out ids that have a rating in Redis")
    parser.add_argument("--dry-run", action="store_true", help="print the messages, send nothing")


def _add_get(commands: Any) -> None:
    parser = commands.add_parser(
        "get",
        help="show a rating, or an app's summary",
        **_text(_GET),
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--id", metavar="REVIEW_ID", help="the rating of this review")
    what.add_argument("--app", metavar="APP_ID", help="how many reviews of this app have how many stars")
    parser.add_argument("--words", action="store_true", help="of the app: the words that tell a period from before")
    parser.add_argument("--since", default="7d", metavar="SPAN", help=f"with --words, the period: {SINCE_SYNTAX}")
    parser.add_argument("--by", default="star", metavar="|".join(BYS), help="with --words: how reviews are grouped")
    parser.add_argument(
        "--keep-personal-data",
        action="store_true",
        help="with --words: count e-mail addresses, phone, card and IBAN numbers as words, too",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_watch(commands: Any) -> None:
    parser = commands.add_parser(
        "watch",
        help="show the ratings as they come",
        **_text(_WATCH),
    )
    parser.add_argument("--app", metavar="APP_ID", help="only this app")
    parser.add_argument("--max-stars", type=int, metavar="N", help="only ratings up to N")
    parser.add_argument("--uncertain", action="store_true", help="only ratings marked uncertain")
    parser.add_argument("--mismatch", action="store_true", help="only ratings whose author's stars contradict the text")
    parser.add_argument("--with-text", action="store_true", help="also the review's text, which is personal data")
    parser.add_argument("--last", type=int, default=0, metavar="N", help="begin with the last N of each partition")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="stop after N ratings; 0: never")
    parser.add_argument("--json", action="store_true", help="print the records as they are, one a line")


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="which words make a text's stars",
        **_text(_EXPLAIN),
    )
    parser.add_argument("text", nargs="?", metavar="TEXT", help="the review, before the flags")
    parser.add_argument("--id", metavar="REVIEW_ID", help="explain this review's stored rating")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_erase(commands: Any) -> None:
    parser = commands.add_parser("erase", help="remove one review from every store", **_text(_ERASE))
    parser.add_argument("review_id", metavar="REVIEW_ID", help="its id, before the flags")
    parser.add_argument("--wait", type=float, default=30.0, metavar="SECONDS", help="longest wait for Redis (30)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, send nothing")


def _add_status(commands: Any) -> None:
    parser = commands.add_parser(
        "status",
        help="what waits, who works, which model serves",
        **_text(_STATUS),
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_restore(commands: Any) -> None:
    parser = commands.add_parser(
        "restore",
        help="fill Redis again from the output topic, also while workers run",
        **_text(_RESTORE),
    )
    parser.add_argument("--from", dest="start", default="earliest", metavar="WHEN", help=f"begin at {POINT_SYNTAX}")
    parser.add_argument("--to", dest="end", default="latest", metavar="WHEN", help="end there, itself not included")


def _add_input(parser: argparse.ArgumentParser) -> None:
    formats = f"{', '.join(ENDINGS)} or .parquet, also .gz and .zst"
    parser.add_argument("--input", required=True, help=f"{formats}; -: JSON lines or plain texts from standard input")
    parser.add_argument("--encoding", help="of the input, such as cp1252; default: UTF-8, or what its mark says")
    parser.add_argument("--delimiter", help="of a CSV; default: the one that gives its header the most columns")


def _text(text: str) -> dict[str, Any]:
    """Return how a command prints its help; no abbreviations, which could swallow a setting's flag."""
    return {"epilog": text, "formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
