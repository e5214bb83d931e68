"""The note a running broker leaves in its data directory, so that `status` and `stop` find it.

Owns `broker.json`. A note is believed only while a process with that id runs with that data directory's settings
file on its command line, so a reused process id is never signalled. Next on the path: `deploy.kafka.__main__`.
"""

import json
import os
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.kafka.broker import LocalKafka
from deploy.process import alive, wait_until

_FILE = "broker.json"
_KILL_WAIT_S = 10.0


@dataclass(frozen=True)
class BrokerRecord:
    """A running broker: process id, address for clients, settings file and log file."""

    pid: int
    bootstrap: str
    properties: str
    log: str

    def write(self, data_dir: Path) -> None:
        """Leave the note in `data_dir`, whole or not at all."""
        draft = data_dir / f"{_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(data_dir / _FILE)


def record_of(broker: LocalKafka) -> BrokerRecord:
    """Return the note for a started broker."""
    return BrokerRecord(broker.pid, broker.bootstrap, str(broker.properties_path), str(broker.log_path))


def read_running(data_dir: Path) -> BrokerRecord | None:
    """Return the note of the broker that runs on `data_dir` now, else None (a stale or foreign note counts as none)."""
    try:
        record = BrokerRecord(**json.loads((data_dir / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return record if alive(record.pid) and record.properties in _command_line(record.pid) else None


def stop_running(data_dir: Path, grace_s: float = 10.0) -> BrokerRecord | None:
    """Stop the broker on `data_dir`, by force after `grace_s`; return its note, or None when none ran.

    Raises:
        TimeoutError: it survives even SIGKILL (a process stuck in the kernel).
    """
    record = read_running(data_dir)
    if record is None:
        return None
    os.kill(record.pid, signal.SIGTERM)
    os.kill(record.pid, signal.SIGCONT)  # in case it is paused
    try:
        wait_until(lambda: not alive(record.pid), grace_s, "the broker's end")
    except TimeoutError:
        os.kill(record.pid, signal.SIGKILL)
        wait_until(lambda: not alive(record.pid), _KILL_WAIT_S, f"the end of pid {record.pid} after SIGKILL")
    forget(data_dir)
    return record


def forget(data_dir: Path) -> None:
    """Remove the note from `data_dir`, if there is one."""
    (data_dir / _FILE).unlink(missing_ok=True)


def _command_line(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.exists():
        return proc.read_bytes().replace(b"\0", b" ").decode("utf-8", errors="replace")
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
