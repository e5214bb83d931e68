"""The help and the flags of `check`, `predict`, `produce`, `get`, `watch`, `explain`, `erase`, `status` and `restore`.

Owns both apart from the commands, so that `--help` loads no client and no model. `worker.__main__` lists them, and
`worker.command` starts them.
"""

from __future__ import annotations

from typing import Final

from schemas.command_line.options import COUNT, FILE, OneOf, Option, Takes, Words
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from schemas.command_line.units import duration
from schemas.input.files import ENDINGS
from worker.command import BROKERS, GROUPS, INPUT, OTHERS, SETTINGS, json_flag, worker_command
from worker.kafka.offset_range import AGO_SYNTAX
from worker.words.period import BYS, SINCE_SYNTAX

_BUNDLE: Final = ("registry", "channel", "model_version")
_CHECK: Final = Page(
    """\
Show the settings that are given, and try bundle, Kafka and Redis.

It reads no record. In Redis it writes keys of its own and deletes them.""",
    """\
  starstream-worker check
  starstream-worker check --all                 the other settings, too
  starstream-worker check --json | jq .checks""",
    SETTINGS,
    """\
  0  all answered             2  wrong flag or variable
  3, 4, 5  the first that failed: the bundle, Kafka, Redis""",
)
_PREDICT: Final = Page(
    """\
Rate a file of reviews, without Kafka.

An output that ends with .csv has every row of the input, with our columns added;
any other is JSON lines. It is written next to its name and renamed when done.""",
    """\
  starstream-worker predict reviews.csv
  starstream-worker predict reviews.csv --output rated.csv
  starstream-worker predict export.csv --input-preset play-console
  starstream-worker predict reviews.csv --reasons low       why it has few stars
  echo "love it" | starstream-worker predict -""",
    exit_codes="""\
  0  all rows were rated    2  wrong flag or file    3  no bundle
  9  some rows are invalid; the others were rated""",
    rest=OTHERS,
)
_PRODUCE: Final = Page(
    """\
Send the reviews of a file to Kafka.

Each becomes {"review_id", "app_id", "text", "score", "created_at", "app_version"},
as far as it has them, with its id as the key. The same id again is the same
review: its rating is replaced. A review without an id gets one from its place in
the topic, so sending it twice rates it twice.""",
    """\
  starstream-worker produce reviews.csv --dry-run
  starstream-worker produce export.csv --input-preset play-console --skip-known
  my-scraper | starstream-worker produce - --input-preset google-play-scraper""",
    exit_codes="""\
  0  all were sent          2  wrong flag or file
  4  Kafka refused          5  Redis refused (--skip-known)
  9  some rows are invalid                   130  stopped before the end""",
    rest=OTHERS,
)
_GET: Final = Page(
    "Show a rating, or an app's summary, as Redis has it.",
    """\
  starstream-worker get r-1
  starstream-worker get --app my.app --json | jq .mean
  starstream-worker get --app my.app --since 4w --by version
  starstream-worker get --app my.app --words --since 7d --by version""",
    exit_codes="""\
  0  found    2  wrong flag    5  Redis refused    9  there is none""",
    rest=OTHERS,
)
_WATCH: Final = Page(
    "Show the ratings as they come, until stopped.",
    """\
  starstream-worker watch
  starstream-worker watch --app my.app --max-stars 2 --with-text
  starstream-worker watch --last 100 --json | jq .rating""",
    exit_codes="""\
  0  stopped by a signal, or --count were shown    2  wrong flag
  4  Kafka refused""",
    rest=OTHERS,
)
_EXPLAIN: Final = Page(
    "Show which words make a text's stars, or those of a stored rating.",
    """\
  starstream-worker explain "love it, but it crashes"
  starstream-worker explain --id r-1
  starstream-worker explain "love it" --json | jq .explanation.words""",
    """\
Green words push the stars up, red ones down, dim ones do nothing; underlined ones
the model has never seen. A word's effect is by how much the expected stars change
when it is left out; the effects do not add up, because words share their meaning.
Those of pairs are of the model's linear part. A stored rating is explained by the
version that gave it.""",
    """\
  0  explained        2  wrong flag        3  no bundle
  4  Kafka refused    5  Redis refused
  9  there is no such rating, or the topic has its text no more""",
    OTHERS,
)
_ERASE: Final = Page(
    """\
Remove one review from every store, by tombstones.

They are sent to the input topic, so that the workers delete the rating in Redis and publish a tombstone; to the
dead-letter topic, for letters of this review; and to WORKER_SHADOW_TOPIC, if it is set. Then it waits until the rating
has left Redis, and prints what is out of reach, such as older records of topics that are not compacted.""",
    """\
  starstream-worker erase r-1 --dry-run
  starstream-worker erase r-1""",
    exit_codes="""\
  0  erased    2  wrong flag    4  Kafka refused    5  Redis refused
  9  Redis still has the rating: no worker runs""",
    rest=OTHERS,
)
_STATUS: Final = Page(
    """\
Show what waits, who works and which model serves, in one screen.

One worker's page is asked, too: the one at WORKER_HTTP_HOST and WORKER_HTTP_PORT,
if it runs on this machine.""",
    """\
  starstream-worker status
  starstream-worker status --json | jq .group.records_waiting""",
    exit_codes="""\
  0  all parts answered    4, 5, 3  Kafka, Redis or the registry did not""",
    rest=OTHERS,
)
_RESTORE: Final = Page(
    """\
Fill Redis again from the output topic, also while workers run.

It writes the ratings and deletions that the topic still has, each for the rest of
its time to live. What a worker has written since stays, and a second run changes
nothing.""",
    """\
  starstream-worker restore
  starstream-worker restore --from 2h                   published since then
  starstream-worker restore --from 2026-11-27T08:00Z""",
    exit_codes="""\
  0  reached the end    2  wrong flag    4  Kafka refused
  5  Redis refused      130  stopped before the end""",
    rest=OTHERS,
)


def check_command() -> Command:
    """Return `check`."""
    own = [json_flag(), Option("--all", is_flag=True, help="also show the settings that have their defaults")]
    return worker_command(_CHECK, "worker.commands.check", own=own, groups=[*GROUPS.values()])


def predict_command() -> Command:
    """Return `predict`."""
    own = [
        *_input_flags(),
        Option("--output", "-o", type=FILE, metavar="FILE", default="-", help="-: standard output, as without it"),
    ]
    words, groups = Words("--input", "FILE"), [INPUT, *_BUNDLE, "min_confidence", "reasons"]
    return worker_command(_PREDICT, "worker.commands.predict", own=own, words=words, groups=groups)


def produce_command() -> Command:
    """Return `produce`."""
    pace = Takes("0 or more reviews a second", _rate)
    own = [
        *_input_flags(),
        Option("--topic", metavar="T", help="default: the first of WORKER_INPUT_TOPICS"),
        Option(
            "--rate",
            type=pace,
            default=0.0,
            metavar="N",
            help="most reviews a second; 0: as fast as they go",
        ),
        Option("--skip-known", is_flag=True, help="leave out ids that have a rating in Redis"),
        Option("--dry-run", is_flag=True, help="print the messages, send nothing"),
    ]
    words, groups = Words("--input", "FILE"), [INPUT, BROKERS, "input_topics"]
    return worker_command(_PRODUCE, "worker.commands.produce", own=own, words=words, groups=groups)


def get_command() -> Command:
    """Return `get`."""
    own = [
        Option("--id", metavar="REVIEW_ID", help="the rating of this review"),
        Option("--app", metavar="APP_ID", help="how many reviews of this app have how many stars"),
        Option("--words", is_flag=True, help="of the app: the words that are more frequent than in the period before"),
        Option("--since", metavar="DURATION", help=f"of the app: its last 7 days, or {SINCE_SYNTAX}"),
        Option(
            "--by",
            type=OneOf("day", "hour", *BYS),
            metavar="day|hour|version",
            help=f"how the app's reviews are grouped; with --words: {', '.join(BYS)}",
        ),
        Option(
            "--keep-personal-data",
            is_flag=True,
            help="with --words: count e-mail addresses, phone, card and IBAN numbers as words, too",
        ),
        json_flag(),
    ]
    words = Words("--id", "REVIEW_ID", required=False)
    return worker_command(_GET, "worker.commands.get", own=own, words=words, groups=["redis_url", "redis_prefix"])


def watch_command() -> Command:
    """Return `watch`."""
    own = [
        Option("--app", metavar="APP_ID", help="only this app"),
        Option("--max-stars", type=Takes("1 to 5 stars", _stars), metavar="N", help="only ratings up to N"),
        Option("--label", metavar="LABEL", help="only ratings with this label"),
        Option("--uncertain", is_flag=True, help="only ratings marked uncertain"),
        Option("--mismatch", is_flag=True, help="only ratings whose author's stars contradict the text"),
        Option("--with-text", is_flag=True, help="also the review's text, which is personal data"),
        Option("--last", type=COUNT, default=0, metavar="N", help="begin with the last N of each partition"),
        Option("--count", type=COUNT, default=0, metavar="N", help="stop after N ratings; 0: never"),
        json_flag("print the records as they are, one a line"),
    ]
    return worker_command(_WATCH, "worker.commands.watch", own=own, groups=[BROKERS, "output_topic"])


def explain_command() -> Command:
    """Return `explain`."""
    own = [
        Option("--text", metavar="TEXT", help="the review"),
        Option("--id", metavar="REVIEW_ID", help="explain this review's stored rating"),
        json_flag(),
    ]
    words = Words("--text", "TEXT", required=False)
    return worker_command(_EXPLAIN, "worker.commands.explain", own=own, words=words, groups=[*_BUNDLE])


def erase_command() -> Command:
    """Return `erase`."""
    wait = Takes("a duration such as 30s or 2m", duration)
    own = [
        Option("--review-id", metavar="REVIEW_ID", help="its id"),
        Option("--wait", type=wait, default=30.0, metavar="DURATION", help="longest wait for Redis  [default: 30s]"),
        Option("--dry-run", is_flag=True, help="print what would be sent, send nothing"),
    ]
    words, groups = Words("--review-id", "REVIEW_ID"), [BROKERS, "input_topics", "redis_url"]
    return worker_command(_ERASE, "worker.commands.erase", own=own, words=words, groups=groups)


def status_command() -> Command:
    """Return `status`."""
    return worker_command(
        _STATUS,
        "worker.commands.status",
        own=[json_flag()],
        groups=[BROKERS, "group_id", "redis_url", "registry", "http_port"],
    )


def restore_command() -> Command:
    """Return `restore`."""
    own = [
        Option("--from", "start", default="earliest", metavar="WHEN", help=f"begin at {AGO_SYNTAX}"),
        Option("--to", "end", default="latest", metavar="WHEN", help="end there, itself not included"),
    ]
    return worker_command(
        _RESTORE, "worker.commands.restore", own=own, groups=[BROKERS, "output_topic", "redis_url", "redis_prefix"]
    )


def _input_flags() -> list[Option]:
    formats = f"{', '.join(ENDINGS)} or .parquet, also .gz and .zst"
    return [
        Option("--input", type=FILE, metavar="FILE", help=f"{formats}; -: JSON lines or texts from standard input"),
        Option("--encoding", metavar="NAME", help="of the file, such as cp1252; default: UTF-8, or what its mark says"),
        Option("--delimiter", metavar="C", help="of a CSV; default: the one that gives its header the most columns"),
    ]


def _stars(text: str) -> int:
    if text not in {"1", "2", "3", "4", "5"}:
        raise ValueError(text)
    return int(text)


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate < float("inf"):
        raise ValueError(text)
    return rate
