"""`serve`: the command.

Owns what is said when its packages are missing; `server` does the work.
"""

from __future__ import annotations

import argparse

from worker.errors import ExitCode, SettingsError
from worker.settings import WorkerSettings


def run(settings: WorkerSettings, known: argparse.Namespace) -> ExitCode:
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
    return serve(settings)
