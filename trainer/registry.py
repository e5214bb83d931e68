"""The registry: versions side by side, and channels that point at them.

Owns what a published version is (a folder that appears whole or not at all) and how a channel moves. `Store` is the
seam: `LocalFolder` is a folder of this machine, an object store is another class with the same five methods. Never
looks into a bundle; `schemas.bundle` reads what is here.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from schemas.bundle import CHANNELS_FILE
from trainer.errors import RegistryError

_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_CHANNEL = re.compile(r"[a-z][a-z0-9_-]{0,40}")


class Store(Protocol):
    """Where a registry lives."""

    def folders(self) -> list[str]:
        """Return the names of the folders that are there whole."""

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder so that a reader sees all of it or nothing."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None when there is none."""

    def replace(self, name: str, content: bytes) -> None:
        """Replace a file so that a reader sees the old content or the new."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out for the time of the block."""
        yield


class LocalFolder:
    """A registry in a folder of this machine. Readers need no lock; writers take `.lock`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folders(self) -> list[str]:
        """Return the names of the folders that are there whole."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write to a hidden folder, flush it, and rename it: the rename is the publishing."""
        self.root.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            hidden.chmod(0o755)  # mkdtemp's 0700 would hide the bundle from a worker of another user
            for file_name, content in files.items():
                _write(hidden / file_name, content)
            _flush_folder(hidden)
            hidden.rename(self.root / name)
            _flush_folder(self.root)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None when there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Write beside it, flush, and rename over it."""
        self.root.mkdir(parents=True, exist_ok=True)
        beside = self.root / f".{name}.{os.getpid()}"
        try:
            _write(beside, content)
            beside.replace(self.root / name)
            _flush_folder(self.root)
        finally:
            beside.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out for the time of the block; waits for them."""
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


class Registry:
    """Versions and channels in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def versions(self) -> list[str]:
        """Return the published versions, oldest first (they start with their time)."""
        return [name for name in self._store.folders() if _VERSION.fullmatch(name)]

    def channels(self) -> dict[str, str]:
        """Return which version each channel points at.

        Raises:
            RegistryError: the file is not what `point` writes.
        """
        content = self._store.read(CHANNELS_FILE)
        if content is None:
            return {}
        try:
            found = json.loads(content)
        except ValueError as error:
            raise RegistryError(f"{CHANNELS_FILE}: not JSON ({error}); write it again with a new `train`") from error
        if not isinstance(found, dict) or not all(isinstance(version, str) for version in found.values()):
            raise RegistryError(f"{CHANNELS_FILE}: expected an object of channel: version; write it again")
        return found

    def resolve(self, name: str) -> str:
        """Return the version that a channel or version name means.

        Raises:
            RegistryError: there is none; the message lists what there is.
        """
        channels = self.channels()
        version = channels.get(name, name)
        versions = self.versions()
        if version in versions:
            return version
        if not versions:
            raise RegistryError("the registry has no version yet; publish one with `train`")
        known = ", ".join([*sorted(channels), *versions[-5:]])
        what = f"{name} points at {version}, which" if name in channels else name
        raise RegistryError(f"{what} is not in the registry; there are: {known}")

    def publish(self, version: str, files: Mapping[str, bytes]) -> None:
        """Add a version; it appears whole or not at all.

        Raises:
            RegistryError: it is there already, or the folder cannot be written.
        """
        if version in self.versions():
            raise RegistryError(f"{version} is in the registry already")
        try:
            self._store.add_folder(version, files)
        except OSError as error:
            raise RegistryError(f"{version}: {error.strerror or error}; nothing was published") from error

    def point(self, channel: str, version: str) -> None:
        """Move a channel to a version that is there.

        Raises:
            RegistryError: there is no such version, or the file cannot be written.
        """
        check_channel(channel)
        if version not in self.versions():
            raise RegistryError(f"{version} is not in the registry")
        try:
            with self._store.locked():
                channels = {**self.channels(), channel: version}
                self._store.replace(CHANNELS_FILE, json.dumps(channels, indent=2, sort_keys=True).encode() + b"\n")
        except OSError as error:
            raise RegistryError(f"{CHANNELS_FILE}: {error.strerror or error}; {channel} did not move") from error


def check_channel(channel: str) -> None:
    """Refuse a name that is no channel.

    Raises:
        RegistryError: it is empty, long, or looks like a path or a version.
    """
    if not _CHANNEL.fullmatch(channel):
        raise RegistryError(f"channel {channel!r}: use lower-case letters, digits, - and _, starting with a letter")


def local_path(location: str) -> Path:
    """Return the folder a registry setting means.

    Raises:
        RegistryError: it is a URL of a store this release does not write.
    """
    if location.startswith("file://"):
        return Path(location.removeprefix("file://"))
    if "://" in location:
        raise RegistryError(f"registry {location}: this release writes local folders only")
    return Path(location)
