"""`serve`: the command.

Owns its help, and what is said when its packages are missing; `server` does the work.
"""

from __future__ import annotations

from types import SimpleNamespace

from schemas.command_line.page import Page
from schemas.command_line.program import Command
from worker.command import INPUT, MODEL, OTHERS, PROCESS, REDIS, REST, SETTINGS, TOPICS, worker_command
from worker.errors import ExitCode, SettingsError
from worker.model.loading import with_starter
from worker.settings import WorkerSettings


def serve_command() -> Command:
    """Return the command."""
    page = Page(
        "Rate over HTTP, in a process of its own, until stopped: REST, and a page.",
        """\
  starstream-worker serve                                 http://127.0.0.1:8080
  starstream-worker serve --rest-host 0.0.0.0 --rest-port 80
  curl localhost:8080/v1/ratings -H 'content-type: application/json' \\
      -d '{"reviews": [{"text": "love it"}]}'""",
        SETTINGS,
        """\
  0  stopped by a signal             2  wrong flag or variable
  3  no bundle that can serve        130 second signal""",
        OTHERS,
    )
    groups = [REST, INPUT, TOPICS, REDIS, MODEL, PROCESS]
    return worker_command(page, "worker.rest.command", name="serve", groups=groups)


def run(settings: WorkerSettings, known: SimpleNamespace) -> ExitCode:
    """Serve until a signal stops it.

    Raises:
        SettingsError: the packages of the extra `rest` are not installed.
        WorkerError: there is no bundle, or the address is taken.
    """
    del known
    try:
        from worker.rest.server import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {
            "fastapi",
            "fastapi_offline",
            "starlette",
            "uvicorn",
        }:
            raise
        raise SettingsError(f"serve: the package {error.name} is not installed; install the extra `rest`") from error
    return serve(with_starter(settings))
