"""The worker's command line: `run`, `predict`, `check`, `dlq`, `replay`.

Owns the commands; a `WorkerError` ends here, as one line and its exit code.
"""

from __future__ import annotations

import argparse
import sys

from schemas import __version__
from schemas.input.files import ENDINGS
from schemas.input.text_files import FileOptions
from worker.dead_letters import command as dlq
from worker.errors import ExitCode, SettingsError, WorkerError
from worker.replay import command as replay
from worker.settings import WorkerSettings, read_settings

_EPILOG = """\
examples:
  starstream-worker check                                      show the settings, try bundle, Kafka and Redis
  WORKER_REGISTRY=models starstream-worker run --processes 2   rate the stream
  starstream-worker predict --input reviews.csv --output rated.jsonl
  starstream-worker dlq list                                   records that could not be rated, and why
  starstream-worker replay --help                              rate old reviews again with another model
  starstream-worker run --help                                 every setting and its default

exit codes:
  0 stopped by a signal              1 unforeseen error (traceback in the log)    2 wrong flag or variable
  3 no bundle that can serve         4 permanent error of Kafka   5 permanent error of Redis
  6 drain deadline passed            7 fenced by another worker   8 dead-letter breaker opened
  9 predict: some rows were not rated; dlq redrive: some letters were not sent
  10 a process kept crashing         130 second signal; replay, dlq redrive: stopped before the end
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="starstream-worker",
        description="Rates a stream of reviews: reads Kafka, writes stars to Redis and a topic.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"starstream-worker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{run,predict,check,dlq,replay}")
    commands.add_parser("run", help="consume, rate, store and publish until stopped", add_help=False)
    commands.add_parser("check", help="show settings, try the bundle, Kafka and Redis", add_help=False)
    files = commands.add_parser(
        "predict",
        help="rate a CSV or JSONL file, without Kafka",
        epilog="Other flags are settings: --registry, --channel, --text-field, --input-preset (see `run --help`).",
    )
    files.add_argument(
        "--input", required=True, help=f"{', '.join(ENDINGS)} or .parquet, also .gz and .zst; - for JSON or texts"
    )
    files.add_argument(
        "--output", default="-", help=".csv: every row, with our columns added; else JSON lines; -: stdout"
    )
    files.add_argument(
        "--encoding", help="of the input, such as cp1252; default: UTF-8, or what its byte order mark says"
    )
    files.add_argument("--delimiter", help="of a CSV; default: the one that gives its header the most columns")
    files.add_argument("--text-column", help="the same as --text-field")
    dlq.add_command(commands)
    replay.add_command(commands)
    known, flags = parser.parse_known_args(argv)
    if getattr(known, "text_column", None) is not None:
        flags = [*flags, "--text-field", known.text_column]
    try:
        settings = read_settings(flags, program=f"starstream-worker {known.command}")
        return int(_dispatch(known, settings, flags))
    except WorkerError as error:
        print(f"starstream-worker: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)


def _dispatch(known: argparse.Namespace, settings: WorkerSettings, flags: list[str]) -> ExitCode:
    # Imported where used: `predict` needs no Kafka, and `--help` needs none of this.
    if known.command == "predict":
        from worker.commands.predict import PredictFiles, predict

        try:
            how = FileOptions(known.encoding, known.delimiter)
        except ValueError as error:
            raise SettingsError(f"--{error}") from error
        return predict(settings, PredictFiles(known.input, known.output, how))
    if known.command == "check":
        from worker.commands.check import check

        return check(settings)
    if known.command == "dlq":
        return dlq.run(settings, known)
    if known.command == "replay":
        return replay.run(settings, known)
    if settings.processes > 1:
        from worker.run.supervisor import Supervisor

        return Supervisor(settings, flags).run()
    from worker.run.app import run_worker

    if settings.status_file is not None:
        from worker.run.supervisor import follow_parent

        follow_parent()
    return run_worker(settings)


if __name__ == "__main__":
    sys.exit(main())
