"""A registry in a local or mounted folder.

Owns the renames, the flushes and the lock that make each write atomic. `store` has the contract.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trainer.registry.store import Content


class LocalFolder:
    """A registry in a local or mounted folder. Readers need no lock; writers take `.lock`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return []

    def folders(self) -> list[str]:
        """Return the names of the folders, except hidden ones, which are being written or removed."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write to a hidden folder, flush it, and rename it: the rename publishes it."""
        self.root.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            hidden.chmod(0o755)  # with mkdtemp's 0700 a worker of another user could not read the bundle
            for file_name, content in files.items():
                _write(hidden / file_name, content)
            _flush_folder(hidden)
            hidden.rename(self.root / name)
            _flush_folder(self.root)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Yield the folder itself."""
        yield self.root / name

    def remove(self, name: str) -> None:
        """Hide it with a rename, then remove it."""
        hidden = self.root / f".old-{name.replace('/', '-')}.{os.getpid()}"
        (self.root / name).rename(hidden)
        if hidden.is_dir():
            shutil.rmtree(hidden)
        else:
            hidden.unlink()

    def leftovers(self, older_than_s: float) -> list[str]:
        """Return the hidden folders and files that no writer has changed for this long."""
        if not self.root.is_dir():
            return []
        before = time.time() - older_than_s
        hidden = (path for path in self.root.iterdir() if path.name.startswith((".new-", ".old-", ".part-")))
        return sorted(path.name for path in hidden if path.stat().st_mtime < before)

    def read(self, name: str) -> Content:
        """Return a file; its tag changes with every write."""
        try:
            with (self.root / name).open("rb") as file:
                found = os.fstat(file.fileno())
                return Content(file.read(), f"{found.st_ino}-{found.st_mtime_ns}")
        except FileNotFoundError:
            return Content(None, None)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist."""
        with self._locked():
            if (self.root / name).exists():
                return False
            self._replace(name, content)
            return True

    def swap(self, name: str, tag: str | None, content: bytes) -> bool:
        """Replace a file that must still have this tag."""
        with self._locked():
            if self.read(name).tag != tag:
                return False
            self._replace(name, content)
            return True

    def _replace(self, name: str, content: bytes) -> None:
        """Write a temporary file, flush it, and rename it over the target."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".part-{os.getpid()}-{time.monotonic_ns()}"
        try:
            _write(temporary, content)
            temporary.replace(target)
            _flush_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the writers' lock during the block; blocks until it is free."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
