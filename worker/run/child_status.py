"""How a supervised process tells its supervisor how it is: a small file, replaced twice a second.

Owns the file's form on both sides. A file rather than a port: nothing to find free, nothing to secure.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.ops.health import STARTING, Health

_EVERY_S: Final = 0.5
_STALE_S: Final = 10.0


def report_status(path: Path, health: Health) -> None:
    """Write the file from a daemon thread, for as long as the process lives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    threading.Thread(target=_write_for_ever, args=(path, health), name="status", daemon=True).start()


def _write_for_ever(path: Path, health: Health) -> None:
    beside = path.with_suffix(".new")
    while True:
        status = {"alive": health.alive, "reasons": dict(health.reasons), "notes": dict(health.notes)}
        beside.write_text(json.dumps(status), encoding="utf-8")
        beside.replace(path)
        time.sleep(_EVERY_S)


class SupervisedHealth:
    """The health of several processes as one: alive when each is, ready when each is."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._files = files

    @property
    def alive(self) -> bool:
        """Whether no process is stuck; one that is starting again is not stuck."""
        return all(status.get("alive", True) for status in map(_read, self._files.values()))

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the processes are not ready, by slot and part; empty when all are."""
        return self._all("reasons", {"process": STARTING})

    @property
    def notes(self) -> Mapping[str, str]:
        """What an operator should know all the same, by slot and part."""
        return self._all("notes", {})

    def _all(self, name: str, silent: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for slot, path in self._files.items():
            said = _read(path).get(name, silent)
            if isinstance(said, dict):
                found |= {f"{slot}/{part}": str(text) for part, text in said.items()}
        return found


def _read(path: Path) -> dict[str, object]:
    try:
        if time.time() - path.stat().st_mtime > _STALE_S:
            return {"alive": False, "reasons": {"process": "silent"}}
        status = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return status if isinstance(status, dict) else {}
