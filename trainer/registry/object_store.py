"""A registry in an object store behind fsspec: S3 and what speaks it, and others as far as they go.

Owns the order of uploads and the conditional writes. In S3 `create` is `If-None-Match: *` and `swap` is `If-Match`,
which Amazon S3 and compatible servers have. Other stores have the first (`mode="create"` of fsspec) but not the
second: there `swap` looks and then writes, and the registry looks again afterwards.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.bundle import MANIFEST_FILE
from trainer.registry.store import HISTORY, WEIGHTS, Content

# What S3 answers when a condition does not hold, and when two conditional writes meet.
_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class ObjectStore:
    """A registry in an object store. A folder is whole once its manifest is there, which is uploaded last."""

    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self._conditional = "s3" in _protocols(files)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order."""
        with _translated():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return []
        return sorted(info["name"].rsplit("/", 1)[-1] for info in found if info["type"] == "file")

    def folders(self) -> list[str]:
        """Return the names of the folders that have a manifest."""
        with _translated():
            self._files.invalidate_cache()
            found = self._files.glob(f"{self._root}/*/{MANIFEST_FILE}")
        return sorted(path.rsplit("/", 2)[-2] for path in found)

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Upload each file, none over another writer's, the manifest last; take them back when it fails."""
        added: list[str] = []
        names = sorted(files, key=lambda each: each == MANIFEST_FILE)
        try:
            for each in names:
                self._add(f"{name}/{each}", files[each])
                added.append(each)
        except BaseException:
            with suppress(OSError):
                for each in reversed(added):
                    self._delete(f"{name}/{each}")
            raise

    def _add(self, name: str, content: bytes) -> None:
        if not self.create(name, content):
            raise FileExistsError(0, f"{name} is there with another content; publish again")

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Download the folder beside, for the time of the block."""
        with tempfile.TemporaryDirectory(prefix="starstream-") as beside:
            with _translated():
                self._files.get(f"{self._root}/{name}/", f"{beside}/", recursive=True)
            yield Path(beside)

    def remove(self, name: str) -> None:
        """Delete the manifest first: without it the folder is no version."""
        with _translated():
            self._files.invalidate_cache()
            found = self._files.find(f"{self._root}/{name}")  # the file itself, when it is one
        for path in sorted(found, key=lambda each: not each.endswith(f"/{MANIFEST_FILE}")):
            self._delete(path.removeprefix(f"{self._root}/"))

    def leftovers(self, older_than_s: float) -> list[str]:
        """Return the folders without a manifest whose youngest file is so old."""
        whole, before = set(self.folders()), time.time() - older_than_s
        with _translated():
            self._files.invalidate_cache()
            found = self._files.find(self._root, maxdepth=2, detail=True)
        youngest: dict[str, float] = {}
        for path, info in found.items():
            folder, _, file = path.removeprefix(f"{self._root}/").rpartition("/")
            if file and folder and folder not in whole and folder not in {HISTORY, WEIGHTS}:
                youngest[folder] = max(youngest.get(folder, 0.0), _modified(info))
        return sorted(folder for folder, at in youngest.items() if at < before)

    def read(self, name: str) -> Content:
        """Return a file. The tag is read first: a write in between makes the next `swap` fail, never succeed."""
        path = f"{self._root}/{name}"
        with _translated():
            self._files.invalidate_cache()
            try:
                tag = self._files.info(path).get("ETag")
                content: bytes = self._files.cat_file(path)
            except FileNotFoundError:
                return Content(None, None)
        return Content(content, tag or hashlib.sha256(content).hexdigest())

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not be there. A request sent again after a lost answer finds its own file: True."""
        with _translated():
            try:
                self._files.pipe_file(f"{self._root}/{name}", content, mode="create")
            except OSError as error:
                if not isinstance(error, FileExistsError) and not _lost(error):
                    raise
                return self.read(name).content == content
        return True

    def swap(self, name: str, tag: str | None, content: bytes) -> bool:
        """Replace a file that must still have this tag."""
        if tag is None:
            return self.create(name, content)
        path = f"{self._root}/{name}"
        with _translated():
            if not self._conditional:
                if self.read(name).tag != tag:
                    return False
                self._files.pipe_file(path, content)
                return True
            try:
                self._files.pipe_file(path, content, IfMatch=tag)
            except OSError as error:
                if not _lost(error):
                    raise
                return False
        return True

    def _delete(self, name: str) -> None:
        with _translated(), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")


@contextmanager
def _translated() -> Iterator[None]:
    """Make the client's errors that are no OSError one of those, so that a registry knows a single kind."""
    try:
        yield
    except _client_errors() as error:
        raise OSError(0, f"{error} (credentials and address come from the AWS_* environment)") from error


def _client_errors() -> tuple[type[Exception], ...]:
    boto = sys.modules.get("botocore.exceptions")
    return () if boto is None else (boto.BotoCoreError, boto.ClientError)


def _lost(error: OSError) -> bool:
    answer = getattr(error.__cause__, "response", None) or {}
    return answer.get("Error", {}).get("Code") in _LOST


def _protocols(files: Any) -> tuple[str, ...]:
    found = files.protocol
    return (found,) if isinstance(found, str) else tuple(found)


def _modified(info: Mapping[str, Any]) -> float:
    """Return when an object was written, seconds since the epoch; now when the store does not say."""
    at = info.get("LastModified") or info.get("created") or info.get("updated")
    return at.timestamp() if isinstance(at, datetime) else time.time()
