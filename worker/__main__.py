"""The worker's command line.

Owns the list of commands and where each is built; a `WorkerError` ends here, as one line a fault and its exit code.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from importlib import import_module

# Importing makes many objects and little garbage: searching for it took a tenth of the time to start.
gc.set_threshold(20_000, 20, 20)
try:
    import click

    from schemas.command_line.page import Page
    from schemas.command_line.program import Program, Sections, complain, completion_command, run
    from worker.command import PROGRAM
    from worker.errors import ExitCode, WorkerError
except KeyboardInterrupt:  # a person's Ctrl-C while this loads is no defect
    sys.stderr.write("starstream-worker: interrupted\n")
    sys.exit(130)

_PAGE = Page(
    "Rate a stream of reviews: read Kafka, write stars to Redis and to a topic.",
    """\
  starstream-worker check                      try the bundle, Kafka and Redis
  starstream-worker run --processes 2          rate the stream
  starstream-worker predict reviews.csv        rate a file, without Kafka
  starstream-worker watch --max-stars 2        the bad ratings as they come
  starstream-worker dlq list                   what could not be rated, and why""",
    exit_codes="""\
  0  done, or stopped by a signal     1  unforeseen error, with its traceback
  2  wrong flag, variable or file     3  no bundle that can serve
  4  permanent error of Kafka         5  permanent error of Redis
  6  drain deadline passed            7  fenced by another worker
  8  dead-letter breaker opened       9  invalid rows; get: not found
  10 a process kept crashing          130 stopped before the end
The help of a command says which of them it has, and what they mean there.""",
    rest='Shell completion: eval "$(starstream-worker completion bash)"; also zsh, fish.',
)


def _in(module: str, function: str) -> Callable[[], click.Command]:
    def build() -> click.Command:
        command: click.Command = getattr(import_module(f"worker.{module}"), function)()
        return command

    return build


_COMMANDS: Sections = {
    "Rate": {
        "run": ("rate the stream until stopped", _in("run.command", "run_command")),
        "serve": ("rate over HTTP: REST, and a page, until stopped", _in("rest.command", "serve_command")),
        "predict": ("rate a file of reviews, without Kafka", _in("commands.command_line", "predict_command")),
        "replay": ("rate history again with another model", _in("replay.command", "replay_command")),
    },
    "Look": {
        "check": ("show the settings, try bundle, Kafka and Redis", _in("commands.command_line", "check_command")),
        "status": ("what waits, who works, which model serves", _in("commands.command_line", "status_command")),
        "get": ("one rating, or an app's summary", _in("commands.command_line", "get_command")),
        "explain": ("which words make a text's stars", _in("commands.command_line", "explain_command")),
        "watch": ("the ratings as they come", _in("commands.command_line", "watch_command")),
        "dlq": ("what could not be rated, and send it back", _in("dead_letters.command_line", "dlq_command")),
    },
    "Move data": {
        "produce": ("send the reviews of a file to Kafka", _in("commands.command_line", "produce_command")),
        "erase": ("remove one review from every store", _in("commands.command_line", "erase_command")),
        "restore": ("fill Redis again from the output topic", _in("commands.command_line", "restore_command")),
    },
    "More": {
        "completion": ("make bash, zsh or fish complete all this", lambda: completion_command(PROGRAM)),
    },
}


def program() -> Program:
    """Return the program, whose commands are built when they are asked for."""
    return Program(PROGRAM, _PAGE, _COMMANDS)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        return run(program(), argv)
    except WorkerError as error:  # of the settings: one line each
        for line in str(error).split("\n"):
            complain(PROGRAM, line)
        return int(error.exit_code)
    except KeyboardInterrupt:
        complain(PROGRAM, "interrupted")
        return int(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
