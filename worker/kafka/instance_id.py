"""The name of a process: the same after a restart, never two at once.

Owns the claim to it. A transactional id made of it lets a restarted process abort at once what its crash left open,
and two processes with the same one would fence each other for ever; so without `WORKER_INSTANCE_ID` a process claims
the lowest free number on its host with a file lock, which the kernel gives back however the process ends.
"""

from __future__ import annotations

import fcntl
import re
import socket
import tempfile
from pathlib import Path
from typing import IO

from worker.errors import SettingsError
from worker.settings import WorkerSettings

_MOST_ON_A_HOST = 1024


class Identity:
    """A claimed name, held for as long as this object lives.

    Args:
        settings: `instance_id` and `slot` make the name when given; the group keeps deployments apart.

    Raises:
        SettingsError: no number is free, or the temporary folder cannot be written.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._lock: IO[bytes] | None = None
        if settings.instance_id is not None:
            self.name = f"{settings.instance_id}-{settings.slot}"
            return
        group = re.sub(r"[^A-Za-z0-9._-]", "_", settings.group_id)
        for number in range(_MOST_ON_A_HOST):
            if self._claim(Path(tempfile.gettempdir()) / f"starstream-{group}-{number}.lock"):
                self.name = f"{socket.gethostname()}-{number}"
                return
        raise SettingsError(f"WORKER_INSTANCE_ID: {_MOST_ON_A_HOST} workers run on this host; give each its own")

    def _claim(self, path: Path) -> bool:
        try:
            lock = path.open("ab")
        except PermissionError:
            return False  # another user's
        except OSError as error:
            raise SettingsError(f"WORKER_INSTANCE_ID: set it, {path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True
