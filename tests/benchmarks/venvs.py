"""Environments that must not be ours: a peer's, and one with tflite-runtime, which needs NumPy 1.

Owns the cache `${XDG_CACHE_HOME:-~/.cache}/starstream/bench-<name>-<hash of its lock>/`: complete or absent. Each lock
(`rows/<name>.txt`, from `rows/<name>.in` by `uv pip compile`) pins every version with its hashes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.kafka.jars import cache_dir
from tests.benchmarks.processes import RowError

LOCKS: Final = Path(__file__).with_name("rows")
_INSTALL_S: Final = 900.0


def python_of(name: str, *, version: tuple[int, int] | None = None) -> str:
    """Return the interpreter of an environment, building it when the cache has none.

    Args:
        name: of its lock.
        version: the Python it needs; by default the one that runs.

    Raises:
        RowError: there is no such Python, or an install failed; the message ends with what uv said.
    """
    base = _base_python(version)
    lock = LOCKS / f"{name}.txt"
    stamp = hashlib.sha256(lock.read_bytes() + base.encode()).hexdigest()[:12]
    folder = cache_dir(os.environ) / f"bench-{name}-{stamp}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the kernel frees it when the holder dies
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            # uv takes 1 s of CPU where venv and pip take 35. Without --no-config it would obey pyproject.toml, too.
            uv = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
            _run(name, [*uv, "venv", "--python", base, str(folder)])
            install = [*uv, "pip", "install", "--python", str(folder), "--no-deps", "--require-hashes"]
            _run(name, [*install, "--only-binary", ":all:", "-r", str(lock)])
            (folder / "complete").touch()
    return str(folder / "bin" / "python")


def _base_python(version: tuple[int, int] | None) -> str:
    if version is None or sys.version_info[:2] == version:
        return sys.executable
    wanted = ".".join(map(str, version))
    found = shutil.which(f"python{wanted}")
    if found is None:
        raise RowError(f"it needs Python {wanted}, and there is no python{wanted} on PATH")
    return found


def _run(name: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_INSTALL_S, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise RowError(f"its environment ({name}) could not be made:\n{tail}")
