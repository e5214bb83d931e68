"""Runs other people's programs to their end, for the release and the images.

Owns how a failure is reported: the program's name, its code and the end of what it said. Long-running services are
`deploy.process`.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_TAIL_LINES = 30


class ProgramFailedError(Exception):
    """A program is missing or exited with another code than 0; has the end of what it said."""


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return its standard output; `env` is added to this process's variables.

    Raises:
        ProgramFailedError: the program is missing or exited with another code than 0.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            umask=0o022,  # what it writes does not depend on who asks
        )
    except FileNotFoundError as error:
        raise ProgramFailedError(f"{command[0]} is not installed") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:]
        raise ProgramFailedError("\n".join([f"{command[0]} exited with code {done.returncode}:", *said]))
    return done.stdout
