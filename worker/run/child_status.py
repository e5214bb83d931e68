"""The status of a supervised process, for its supervisor: a small file, replaced twice a second.

Owns the file's format on both sides. A file needs no free port, and nothing on the network can read it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.errors import SettingsError
from worker.ops.health import STARTING, Health

_INTERVAL_S: Final = 0.5
_STALE_S: Final = 10.0  # a file this old is of a process that is stuck


def report_status(path: Path, health: Health) -> None:
    """Write the file from a daemon thread until the process ends.

    Raises:
        SettingsError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, health)
    except (OSError, ValueError) as error:
        raise SettingsError("WORKER_STATUS_FILE: cannot be written; the supervisor sets it, leave it unset") from error
    threading.Thread(target=_write_forever, args=(path, health), name="status", daemon=True).start()


def _write_forever(path: Path, health: Health) -> None:
    while True:
        time.sleep(_INTERVAL_S)
        _write(path, health)


def _write(path: Path, health: Health) -> None:
    new = path.with_suffix(".new")
    status = {"alive": health.alive, "reasons": dict(health.reasons), "notes": dict(health.notes)}
    new.write_text(json.dumps(status), encoding="utf-8")
    new.replace(path)


class SupervisedHealth:
    """The health of several processes as one: alive when all are, ready when all are."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._files = files

    @property
    def alive(self) -> bool:
        """Whether no process is stuck; one that is starting is not."""
        return all(status.get("alive", True) for status in map(_read, self._files.values()))

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the processes are not ready, by slot and part; empty when all are."""
        return self._collect("reasons", {"process": STARTING})

    @property
    def notes(self) -> Mapping[str, str]:
        """What an operator should know even so, by slot and part."""
        return self._collect("notes", {})

    def _collect(self, name: str, default: Mapping[str, str]) -> dict[str, str]:
        collected: dict[str, str] = {}
        for slot, path in self._files.items():
            texts = _read(path).get(name, default)
            if isinstance(texts, dict):
                collected |= {f"{slot}/{part}": str(text) for part, text in texts.items()}
        return collected


def _read(path: Path) -> dict[str, object]:
    try:
        if time.time() - path.stat().st_mtime > _STALE_S:
            return {"alive": False, "reasons": {"process": "silent"}}
        status = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return status if isinstance(status, dict) else {}
