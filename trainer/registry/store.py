"""The storage of a registry, as a port: a folder of this machine, or an object store behind an fsspec URL.

Owns the contract of a store: every write is atomic for readers, and of several writers only one succeeds with `create`
(the file must not exist) and `swap` (it must be as it was read). Knows neither versions nor channels: `registry` does.
`local_store` and `object_store` implement it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

HISTORY = "history"  # the folder of the changes
WEIGHTS = "weights"  # the folder of the training weights for `train --warm-start`; workers never read it


class Content(NamedTuple):
    """A file as it was read; `swap` compares the tag. Both are None when there is no file."""

    content: bytes | None
    tag: str | None


class Store(Protocol):
    """The storage of a registry. Every method may raise OSError."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order; none when there is no folder."""

    def folders(self) -> list[str]:
        """Return the names of the complete folders, in order."""

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder atomically: a reader sees all of it or nothing."""

    def folder(self, name: str) -> AbstractContextManager[Path]:
        """Yield a local copy of a folder, or the folder itself, during the block."""

    def remove(self, name: str) -> None:
        """Remove a folder or a file atomically."""

    def leftovers(self, older_than_s: float) -> list[str]:
        """Return the files of interrupted writers that are older."""

    def read(self, name: str) -> Content:
        """Return a file."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist; False when it does."""

    def swap(self, name: str, tag: str | None, content: bytes) -> bool:
        """Replace a file that must still have this tag from `read`; False when it has another."""
