"""`run`: the command.

Owns its help, and the choice between one process and several under a supervisor.
"""

from __future__ import annotations

from types import SimpleNamespace

from schemas.command_line.page import Page
from schemas.command_line.program import Command
from worker.command import GROUPS, REST, SETTINGS, words_of, worker_command
from worker.errors import ExitCode
from worker.settings import WorkerSettings


def run_command() -> Command:
    """Return the command."""
    page = Page(
        "Rate the stream until stopped: read Kafka, write stars to Redis and a topic.",
        """\
  starstream-worker run --registry models/ --kafka-bootstrap-servers kafka:9092
  starstream-worker run --processes 2 --linger-s 5ms
  WORKER_REDIS_URL_FILE=/run/secrets/redis starstream-worker run""",
        SETTINGS,
        """\
  0  stopped by a signal, everything settled     2  wrong flag or variable
  3  no bundle that can serve                    4  permanent error of Kafka
  5  permanent error of Redis                    6  drain deadline passed
  7  fenced by another worker                    8  dead-letter breaker opened
  10 a process kept crashing                     130 second signal""",
    )
    return worker_command(page, "worker.run.command", name="run", groups=[*{*GROUPS.values()} - {REST}])


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Run until a signal stops it.

    Raises:
        WorkerError: a permanent error, which ends the process with its exit code.
    """
    if settings.processes > 1:
        from worker.run.supervisor import Supervisor

        return Supervisor(settings, words_of(known.given)).run()
    from worker.run.app import run_worker

    if settings.status_file is not None:
        from worker.run.supervisor import follow_parent

        follow_parent()
    return run_worker(settings)
