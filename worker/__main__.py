"""The worker's command line.

Owns which module each command is; a `WorkerError` ends here, as one line and its exit code.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from importlib import import_module

from schemas import __version__
from worker.commands.command_line import Parser, add_commands, require_known_flags
from worker.commands.settings_help import settings_help
from worker.dead_letters import command as dlq
from worker.errors import ExitCode, WorkerError
from worker.ops.logs import configure_logs
from worker.replay import command as replay
from worker.settings import WorkerSettings, read_settings, warnings_about

_EPILOG = """\
examples:
  starstream-worker check                                      show the settings, try bundle, Kafka and Redis
  WORKER_REGISTRY=models starstream-worker run --processes 2   rate the stream
  starstream-worker serve                                      rate over HTTP: REST, and a page on port 8080
  starstream-worker predict --input reviews.csv --output rated.jsonl
  starstream-worker produce --input reviews.csv                send a file's reviews to Kafka
  starstream-worker watch --max-stars 2 --with-text            the ratings as they come
  starstream-worker get --id r-1                               one rating from Redis; --app: an app's summary
  starstream-worker explain "love it, but it crashes"          which words make a text's stars; --id: of a rating
  starstream-worker erase r-1                                  remove one review from every store, by tombstones
  starstream-worker status                                     what waits, who works, which model serves
  starstream-worker dlq list                                   records that could not be rated, and why
  starstream-worker replay --help                              rate old reviews again with another model
  starstream-worker restore                                    fill a Redis that has lost its data from the topic
  starstream-worker run --help                                 every setting and its default

exit codes:
  0 stopped by a signal              1 unforeseen error (traceback in the log)    2 wrong flag or variable
  3 no bundle that can serve         4 permanent error of Kafka   5 permanent error of Redis
  6 drain deadline passed            7 fenced by another worker   8 dead-letter breaker opened
  9 predict, produce: some rows are no reviews; dlq redrive: some letters were not sent; get, explain: there is none
  10 a process kept crashing         130 second signal; replay, restore, dlq redrive: stopped before the end
"""
_COMMANDS = {
    **{
        name: f"worker.commands.{name}"
        for name in ("check", "predict", "produce", "get", "watch", "explain", "erase", "status", "restore")
    },
    "dlq": "worker.dead_letters.command",
    "replay": "worker.replay.command",
    "serve": "worker.rest.command",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = Parser(
        prog="starstream-worker",
        description="Rates a stream of reviews: reads Kafka, writes stars to Redis and a topic.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"starstream-worker {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="consume, rate, store and publish until stopped", add_help=False)
    commands.add_parser("serve", help="rate over HTTP, beside the stream, until stopped", add_help=False)
    check = commands.add_parser("check", help="show settings, try the bundle, Kafka and Redis", add_help=False)
    check.add_argument("--json", action="store_true")
    check.add_argument("--all", action="store_true")
    add_commands(commands)
    dlq.add_command(commands)
    replay.add_command(commands)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no stars shows their numbers
    known, flags = parser.parse_known_args(argv)
    if getattr(known, "text_column", None) is not None:
        flags = [*flags, "--text-field", known.text_column]
    if {"-h", "--help"} & {*flags}:
        print(settings_help(known.command), end="")
        return ExitCode.OK
    known.flags = flags
    settings: WorkerSettings | None = None
    try:
        require_known_flags(flags, WorkerSettings.model_fields)
        settings = read_settings(flags, program=f"starstream-worker {known.command}")
        if settings.status_file is None:  # a supervised process would repeat its supervisor's
            _warn(known.command, settings)
        return int(_dispatch(known, settings, flags))
    except WorkerError as error:
        # One line, but for several wrong settings; and a flag can hold any bytes.
        line = str(error) if settings is None else " ".join(str(error).splitlines())
        line = line.encode("utf-8", "backslashreplace").decode()
        print(f"starstream-worker: {line}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)


def _warn(command: str, settings: WorkerSettings) -> None:
    """Report what was set in vain: in the log of a service, elsewhere as plain lines."""
    lines = warnings_about(settings)
    if command in {"run", "serve"} and lines:
        log = configure_logs(settings.log_level, settings.log_format)
        for line in lines:
            log(logging.WARNING, "setting_ignored", reason=line)
        return
    for line in lines:
        print(f"starstream-worker: warning: {line}", file=sys.stderr)


def _dispatch(known: argparse.Namespace, settings: WorkerSettings, flags: list[str]) -> ExitCode:
    # Imported where used: `predict` needs no Kafka, and `--help` needs none of this.
    if known.command in _COMMANDS:
        try:
            code = ExitCode(import_module(_COMMANDS[known.command]).run(settings, known))
            if sys.stdout is not None:  # closed: `>&-`
                sys.stdout.flush()
        except BrokenPipeError:  # `watch | head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.OK
        return code
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
