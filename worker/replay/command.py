"""`replay`: rates history again with another model, beside the live stream.

Owns the command's flags, their help, and the rule that nothing live is written unasked. `replay_run` does it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Final

from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import EARLIEST, HOW, LATEST, parse_point
from worker.settings import WorkerSettings

_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_LONGEST_PREFIX: Final = 64  # as WORKER_REDIS_PREFIX

_ABOUT: Final = """\
Reads the input topics (WORKER_INPUT_TOPICS) again, in a consumer group of its own, rates them with the bundle named,
and writes to a topic and under a Redis prefix of their own. The live workers go on undisturbed. At the end the new
ratings are compared with the live ones: agreement, confusion by stars, mean difference of expected stars.

examples:
  starstream-worker replay --from earliest --version 20260301T101500Z-1a2b3c4d \\
      --topic-out ratings.candidate --redis-prefix candidate: --json diff.json
  starstream-worker replay --from 2026-02-01 --to 2026-03-01T00:00:00Z --version 20260301T101500Z-1a2b3c4d \\
      --topic-out ratings.february --redis-prefix february:

Bounds: a time means, in each partition, the first record at or after it; an offset counts in each partition. The end
is fixed when the replay begins: what arrives later is not read, however often the run is broken off.

Broken off (SIGTERM, Ctrl-C, a crash), the same command goes on where the group's committed offsets are; with
WORKER_DELIVERY=exactly_once nothing is in --topic-out twice for a read_committed reader. What it set out to do is kept
under PREFIXreplay, beside the ratings; both live WORKER_REDIS_TTL_S. --restart begins again, and writes to --topic-out
again. One replay, one prefix: ratings of two versions under one would replace each other one by one.

What is live is not written, unless you ask: with --write-live the new ratings go under the live keys as well, at the
end, after the comparison; do it again and nothing changes. They are fenced as the workers' are, by source position
(worker/redis/write.lua): a review that was sent again since, or deleted, keeps what it has. The live topic is never
written: it would end with the rating of a text that was sent again since.

Dead letters: what can not be rated is counted by reason. It lies in the dead-letter topic since it was live.

The live ratings are read under WORKER_REDIS_PREFIX (variable or .env; the flag of that name is the replay's). A review
that was sent again since is not compared, because its live rating is of another text.

exit codes:
  0 reached the end    2 wrong flag    3 no such bundle    4 Kafka refused    5 Redis refused
  6 stopped, but not in time    7 fenced    130 stopped before the end: the same command goes on

Other flags are settings: --registry, --input-topics, --delivery, --batch-reviews ... (see `run --help`).
"""


def add_command(commands: Any) -> None:
    """Register `replay` with the worker's parser."""
    parser = commands.add_parser(
        "replay",
        help="rate history again with another model",
        description="Rates history again with another model, and says how it differs.",
        epilog=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--from", dest="start", required=True, metavar="WHEN", help=f"where to begin: {HOW}")
    parser.add_argument("--to", dest="end", default="latest", metavar="WHEN", help="where to end, itself not included")
    parser.add_argument("--version", required=True, metavar="V", help="bundle of the registry (WORKER_REGISTRY)")
    parser.add_argument("--topic-out", required=True, metavar="T", help="topic for the ratings; it must exist")
    parser.add_argument("--redis-prefix", required=True, metavar="P", help="put before every key")
    parser.add_argument("--group", metavar="G", help="consumer group; default <WORKER_GROUP_ID>-replay-<version>")
    parser.add_argument("--restart", action="store_true", help="begin again, whatever an earlier run did")
    parser.add_argument(
        "--write-live", action="store_true", help="at the end, put the ratings under the live keys, too"
    )
    parser.add_argument("--json", metavar="FILE", help="the summary as JSON, too; - prints it instead of the tables")


def run(settings: WorkerSettings, known: argparse.Namespace) -> ExitCode:
    """Check the flags and replay.

    Raises:
        WorkerError: a flag is wrong or does not fit an earlier run, no bundle, or a service that refuses.
    """
    start, end = parse_point("--from", known.start), parse_point("--to", known.end)
    if start == LATEST or end == EARLIEST:
        raise SettingsError("--from latest, --to earliest: that leaves nothing")
    if known.json not in {None, "-"} and not Path(known.json).absolute().parent.is_dir():
        raise SettingsError(f"--json {known.json}: no such folder")
    derived = replay_settings(settings, known)
    # Imported where it is used: `--help` needs neither Kafka nor a model.
    from worker.replay.run import RerateOrder, rerate

    live = settings if known.write_live else None
    order = RerateOrder(derived, settings.redis_prefix, start, end, restart=known.restart, report=known.json, live=live)
    return rerate(order)


def replay_settings(live: WorkerSettings, known: argparse.Namespace) -> WorkerSettings:
    """Return the settings of a replay, made of the live ones: nothing it writes is theirs.

    Raises:
        SettingsError: a flag names something live, or what no topic or key may be called.
    """
    group = known.group or f"{live.group_id}-replay-{known.version}"
    if group == live.group_id:
        raise SettingsError(
            f"--group {group}: is the workers' own (WORKER_GROUP_ID); a replay would move their offsets"
        )
    topic = known.topic_out
    if not _TOPIC.fullmatch(topic):
        raise SettingsError(f"--topic-out {topic}: not a topic's name: letters, digits, dot, underscore, hyphen")
    taken = {
        live.output_topic: "WORKER_OUTPUT_TOPIC",
        live.dead_letter_topic: "WORKER_DEAD_LETTER_TOPIC",
        **dict.fromkeys(live.input_topics, "WORKER_INPUT_TOPICS"),
    }
    if topic in taken:
        raise SettingsError(f"--topic-out {topic}: is live ({taken[topic]}); name a topic of the replay's own")
    prefix = known.redis_prefix
    if not prefix or len(prefix) > _LONGEST_PREFIX:
        raise SettingsError(f"--redis-prefix: 1 to {_LONGEST_PREFIX} characters, such as candidate:")
    if prefix == live.redis_prefix:
        raise SettingsError(f"--redis-prefix {prefix}: is live (WORKER_REDIS_PREFIX); name one of the replay's own")
    return live.model_copy(
        update={
            "group_id": group,
            "instance_id": None,  # two names of one worker must not claim the same transactions
            "model_version": known.version,
            "output_topic": topic,
            "redis_prefix": prefix,
            "auto_offset_reset": "earliest",
        }
    )
