"""The name of a process: the same after a restart, and unique among running processes.

Owns the claim to it. With the transactional id made from it, a restarted process aborts at once the transaction that
its crash left open; two processes with the same id would keep fencing each other. So without `WORKER_INSTANCE_ID` a
process claims the lowest free number on its host with a file lock, which the kernel releases however the process ends.

Containers may share a host name and still number their processes by themselves. So each lock file holds a random mark,
made with it, which is part of the name: it is the same after a restart in the same container, and new in a new one,
whose predecessor's transaction then ends by its time-out.
"""

from __future__ import annotations

import fcntl
import re
import secrets
import socket
import tempfile
from pathlib import Path
from typing import IO, Final

from worker.errors import SettingsError
from worker.settings import WorkerSettings

_MAX_PER_HOST: Final = 1024
_MARK: Final = re.compile("[0-9a-f]{8}")


class InstanceId:
    """A claimed name, held until `close`, and no longer than this object exists.

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
            mark = self._claim(Path(tempfile.gettempdir()) / f"starstream-{group}-{number}.lock")
            if mark is not None:
                self.name = f"{socket.gethostname()}-{mark}-{number}"
                return
        raise SettingsError(
            f"WORKER_INSTANCE_ID: {_MAX_PER_HOST} workers of this group run on this host; set it for each"
        )

    def close(self) -> None:
        """Give the name back."""
        if self._lock is not None:
            self._lock.close()

    def _claim(self, path: Path) -> str | None:
        """Return the file's mark; None when another process has it."""
        try:
            lock = path.open("a+b")
        except PermissionError:
            return None  # it belongs to another user
        except OSError as error:
            raise SettingsError(f"WORKER_INSTANCE_ID: set it: {path} cannot be created: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        self._lock = lock
        lock.seek(0)
        mark = lock.read(100).decode("ascii", "replace")
        if not _MARK.fullmatch(mark):  # made just now, or by an earlier version
            mark = secrets.token_hex(4)
            lock.truncate(0)
            lock.write(mark.encode())
            lock.flush()
        return mark
