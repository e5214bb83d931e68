"""A registry in an object store behind fsspec: S3 and compatible servers, and other stores with a weaker `swap`.

Owns the order of uploads and the conditional writes. In S3 `create` is `If-None-Match: *` and `swap` is `If-Match`.
Other stores have the first (`mode="create"` of fsspec) but not the second: there `swap` compares and then writes, and
the registry checks again afterwards.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.bundle import MANIFEST_FILE
from schemas.storage import reason, store_errors
from trainer.registry.store import HISTORY, WEIGHTS, Content

# S3's codes when a condition does not hold, and when two conditional writes collide.
_FAILED_CONDITIONS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class ObjectStore:
    """A registry in an object store. A folder is complete once it has its manifest, which is uploaded last."""

    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._location = f"{_protocols(files)[0]}://{self._root}"
        self._conditional = "s3" in _protocols(files)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order."""
        with _translated(self._location):
            self._files.invalidate_cache()
            try:
                found = self._files.ls(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return []
        return sorted(info["name"].rsplit("/", 1)[-1] for info in found if info["type"] == "file")

    def folders(self) -> list[str]:
        """Return the names of the folders that have a manifest."""
        with _translated(self._location):
            self._files.invalidate_cache()
            found = self._files.glob(f"{self._root}/*/{MANIFEST_FILE}")
        return sorted(path.rsplit("/", 2)[-2] for path in found)

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Upload each file, the manifest last, without replacing another writer's; delete them when one fails."""
        added: list[str] = []
        try:
            for file in sorted(files, key=lambda file: file == MANIFEST_FILE):
                self._add(f"{name}/{file}", files[file])
                added.append(file)
        except BaseException:
            with suppress(OSError):
                for file in reversed(added):
                    self._delete(f"{name}/{file}")
            raise

    def _add(self, name: str, content: bytes) -> None:
        if not self.create(name, content):
            raise FileExistsError(0, f"{name} exists with other content; publish again")

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Yield a download of the folder, which is deleted after the block."""
        with tempfile.TemporaryDirectory(prefix="starstream-") as download:
            with _translated(self._location):
                self._files.get(f"{self._root}/{name}/", f"{download}/", recursive=True)
            yield Path(download)

    def remove(self, name: str) -> None:
        """Delete the manifest first: a folder without it is not a version."""
        with _translated(self._location):
            self._files.invalidate_cache()
            found = self._files.find(f"{self._root}/{name}")  # of a file: the file itself
        for path in sorted(found, key=lambda path: not path.endswith(f"/{MANIFEST_FILE}")):
            self._delete(path.removeprefix(f"{self._root}/"))

    def leftovers(self, older_than_s: float) -> list[str]:
        """Return the folders without a manifest whose newest file is older."""
        whole, before = set(self.folders()), time.time() - older_than_s
        with _translated(self._location):
            self._files.invalidate_cache()
            found = self._files.find(self._root, maxdepth=2, detail=True)
        newest: dict[str, float] = {}
        for path, info in found.items():
            folder, _, file = path.removeprefix(f"{self._root}/").rpartition("/")
            if file and folder and folder not in whole and folder not in {HISTORY, WEIGHTS}:
                newest[folder] = max(newest.get(folder, 0.0), _modified(info))
        return sorted(folder for folder, at in newest.items() if at < before)

    def read(self, name: str) -> Content:
        """Return a file. The tag is read first, so a write between the two makes the next `swap` fail."""
        path = f"{self._root}/{name}"
        with _translated(self._location):
            self._files.invalidate_cache()
            try:
                tag = self._files.info(path).get("ETag")
                content: bytes = self._files.cat_file(path)
            except FileNotFoundError:
                return Content(None, None)
        return Content(content, tag or hashlib.sha256(content).hexdigest())

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist. True also when a retry after a lost response finds its own file."""
        with _translated(self._location):
            try:
                self._files.pipe_file(f"{self._root}/{name}", content, mode="create")
            except OSError as error:
                if not isinstance(error, FileExistsError) and not _condition_failed(error):
                    raise
                return self.read(name).content == content
        return True

    def swap(self, name: str, tag: str | None, content: bytes) -> bool:
        """Replace a file that must still have this tag."""
        if tag is None:
            return self.create(name, content)
        path = f"{self._root}/{name}"
        with _translated(self._location):
            if not self._conditional:
                if self.read(name).tag != tag:
                    return False
                self._files.pipe_file(path, content)
                return True
            try:
                self._files.pipe_file(path, content, IfMatch=tag)
            except OSError as error:
                if not _condition_failed(error):
                    raise
                return False
        return True

    def _delete(self, name: str) -> None:
        with _translated(self._location), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")


@contextmanager
def _translated(location: str) -> Iterator[None]:
    """Translate the client's own errors to OSError, the only kind that a registry handles."""
    try:
        yield
    except store_errors() as error:
        raise OSError(0, reason(error, location)) from error


def _condition_failed(error: OSError) -> bool:
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in _FAILED_CONDITIONS


def _protocols(files: Any) -> tuple[str, ...]:
    found = files.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def _modified(info: Mapping[str, Any]) -> float:
    """Return when an object was written, seconds since the epoch; now when the store does not report it."""
    at = info.get("LastModified") or info.get("created") or info.get("updated")
    return at.timestamp() if isinstance(at, datetime) else time.time()
