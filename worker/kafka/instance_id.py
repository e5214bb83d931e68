"""The name of a process: the same after a restart, and unique among running processes.

Owns the claim to it. With the transactional id made from it, a restarted process aborts at once the transaction that
its crash left open; two processes with the same id would keep fencing each other. So without `WORKER_INSTANCE_ID` a
process claims the lowest free number on its host with a file lock, which the kernel releases however the process ends.
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

_MAX_PER_HOST = 1024


class InstanceId:
    """A claimed name, held as long as this object exists.

    Args:
        settings: `instance_id` and `slot` make up the name when given; each group numbers its own processes.

    Raises:
        SettingsError: no number is free, or the temporary folder cannot be written.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._lock: IO[bytes] | None = None
        if settings.instance_id is not None:
            self.name = f"{settings.instance_id}-{settings.slot}"
            return
        group = re.sub(r"[^A-Za-z0-9._-]", "_", settings.group_id)
        for number in range(_MAX_PER_HOST):
            if self._claim(Path(tempfile.gettempdir()) / f"starstream-{group}-{number}.lock"):
                self.name = f"{socket.gethostname()}-{number}"
                return
        raise SettingsError(
            f"WORKER_INSTANCE_ID: {_MAX_PER_HOST} workers of this group run on this host; set it for each"
        )

    def _claim(self, path: Path) -> bool:
        try:
            lock = path.open("ab")
        except PermissionError:
            return False  # it belongs to another user
        except OSError as error:
            raise SettingsError(f"WORKER_INSTANCE_ID: set it: {path} cannot be created: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True
