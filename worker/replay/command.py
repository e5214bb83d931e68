"""`replay`: rates history again with another model, while the live workers go on.

Owns the command's flags, their help, and the rule that live data is written only on request. `run` does the work.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Final

from schemas.command_line.options import FILE, Option
from schemas.command_line.page import Page
from schemas.command_line.program import Command
from worker.command import BROKERS, INPUT, OTHERS, registry_names, worker_command
from worker.errors import ExitCode, SettingsError
from worker.kafka.offset_range import POINT_SYNTAX, parse_bounds
from worker.setting_forms import topic_name
from worker.settings import WorkerSettings

_LONGEST_PREFIX: Final = 64  # as WORKER_REDIS_PREFIX

_REPLAY: Final = Page(
    """\
Rate history again with another model, and report how its ratings differ.

It reads the input topics (WORKER_INPUT_TOPICS) again in its own consumer group,
rates them with the given bundle, and writes to its own topic and Redis prefix. The
live workers are not disturbed. At the end it compares the new ratings with the
live ones: agreement, confusion by stars, mean difference of expected stars. To
send dead letters back to their topic, use `dlq redrive`.""",
    """\
  starstream-worker replay --version 20260301T101500Z-1a2b3c4d \\
      --from earliest --topic-out ratings.new --redis-prefix new: --json -
  starstream-worker replay --version 20260301T101500Z-1a2b3c4d \\
      --from 2026-02-01 --topic-out ratings.february --redis-prefix february:""",
    """\
Bounds: a time means, in each partition, the first record at or after it; an offset
counts in each partition. The end is fixed when the replay begins: records that
arrive later are not read, however often the run is interrupted.

After an interruption (SIGTERM, Ctrl-C, a crash) the same command continues at the
group's committed offsets. With WORKER_DELIVERY=exactly_once, a read_committed
reader finds nothing twice in --topic-out. The plan is stored under PREFIXreplay,
with the ratings; both expire after WORKER_REDIS_TTL_S. --restart begins again, and
writes to --topic-out again. Use one prefix for one replay: under a shared prefix,
ratings of two versions would replace each other.

Live data is written only with --write-live: the new ratings are then also written
under the live keys, at the end, after the comparison; repeating that changes
nothing. They are fenced by source position as the workers' are (write.lua): a
review that was sent again since, or deleted, keeps what it has. The live topic is
never written: its last rating of such a review would be of the older text.

Records that cannot be rated are counted by reason. No dead letters are written:
the live worker wrote them. The live ratings are read under WORKER_REDIS_PREFIX
(variable or .env; the flag of that name is the replay's). A review that was sent
again since is not compared, because its live rating is of another text.""",
    """\
  0  reached the end    2  wrong flag       3  no such bundle
  4  Kafka refused      5  Redis refused    6  stopped, but not in time
  7  fenced             130  stopped before the end: the same command continues""",
    OTHERS,
)


def replay_command() -> Command:
    """Return the command."""
    versions = registry_names().versions
    own = [
        Option("--from", "start", required=True, metavar="WHEN", help=f"where to begin: {POINT_SYNTAX}"),
        Option("--to", "end", default="latest", metavar="WHEN", help="where to end, itself not included"),
        Option("--version", required=True, metavar="V", completes=versions, help="bundle to rate with"),
        Option("--topic-out", required=True, metavar="T", help="topic for the ratings; it must exist"),
        Option("--redis-prefix", required=True, metavar="P", help="put before every key"),
        Option("--group", metavar="G", help="consumer group; default <WORKER_GROUP_ID>-replay-<version>"),
        Option("--restart", is_flag=True, help="begin again, whatever an earlier run did"),
        Option("--write-live", is_flag=True, help="at the end, write the ratings under the live keys as well"),
        Option("--json", type=FILE, metavar="FILE", help="write the summary as JSON as well; -: instead of the tables"),
    ]
    return worker_command(
        _REPLAY,
        "worker.replay.command",
        name="replay",
        own=own,
        groups=[BROKERS, "input_topics", "registry", "redis_url", INPUT],
    )


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Check the flags and replay.

    Raises:
        WorkerError: a flag is wrong or does not fit an earlier run, no bundle, or a service that refuses.
    """
    bounds = parse_bounds(known.start, known.end)
    try:
        if known.json not in {None, "-"} and not Path(known.json).absolute().parent.is_dir():
            raise SettingsError(f"--json {known.json}: no such folder")
    except OSError as error:
        raise SettingsError(f"--json: {error.strerror}") from error
    derived = replay_settings(settings, known)
    # Imported where it is used: `--help` needs neither Kafka nor a model.
    from worker.replay.run import rerate

    return rerate(
        derived,
        settings,
        bounds,
        restart=known.restart,
        report_to=known.json,
        copy_to_live=known.write_live,
    )


def replay_settings(live: WorkerSettings, known: SimpleNamespace) -> WorkerSettings:
    """Return a replay's settings, derived from the live ones: it writes to other topics and keys.

    Raises:
        SettingsError: a flag names a live topic, prefix or group, or is not a valid name.
    """
    group = known.group or f"{live.group_id}-replay-{known.version}"
    if group == live.group_id:
        raise SettingsError(
            f"--group {group}: is the workers' own (WORKER_GROUP_ID); a replay would move their offsets"
        )
    try:
        topic = topic_name(known.topic_out)
    except ValueError as error:
        raise SettingsError(f"--topic-out: {error}") from error
    taken = {
        live.output_topic: "WORKER_OUTPUT_TOPIC",
        live.dead_letter_topic: "WORKER_DEAD_LETTER_TOPIC",
        **dict.fromkeys(live.input_topics, "WORKER_INPUT_TOPICS"),
    }
    if topic in taken:
        raise SettingsError(f"--topic-out {topic}: is live ({taken[topic]}); name a topic of its own")
    prefix = known.redis_prefix
    if not prefix or len(prefix) > _LONGEST_PREFIX:
        raise SettingsError(f"--redis-prefix: 1 to {_LONGEST_PREFIX} characters, such as candidate:")
    if prefix == live.redis_prefix:
        raise SettingsError(f"--redis-prefix {prefix}: is live (WORKER_REDIS_PREFIX); name one of its own")
    return live.model_copy(
        update={
            "group_id": group,
            "instance_id": None,  # a worker and a replay with one name would fence each other's transactions
            "kafka_client": "kafka-python",  # as the bounded source is
            "model_version": known.version,
            "output_topic": topic,
            "redis_prefix": prefix,
            "auto_offset_reset": "earliest",
        }
    )
