"""Where a registry lives, as the registry sees it: a folder of this machine, or an object store behind an fsspec URL.

Owns what a store promises: a few writes, each of which a reader sees whole or not at all, and two that only one of
several writers wins: `create` (the file must not be there) and `swap` (it must be as it was read). Never knows what a
version or a channel is; `registry` does. `local_store` and `object_store` keep the promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

HISTORY = "history"  # the folder of the changes
WEIGHTS = "weights"  # the folder of what `train --warm-start` begins with; workers never read it


class Content(NamedTuple):
    """A file as it was read; `tag` is what `swap` compares. Neither: there is no file."""

    content: bytes | None
    tag: str | None


class Store(Protocol):
    """What a registry asks of the place it lives in. Every method may raise OSError."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order; none when there is no folder."""

    def folders(self) -> list[str]:
        """Return the names of the folders that are there whole, in order."""

    def add_folder(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder so that a reader sees all of it or nothing."""

    def folder(self, name: str) -> AbstractContextManager[Path]:
        """Give a folder as one of this machine for the time of the block."""

    def remove(self, name: str) -> None:
        """Remove a folder or a file; for a reader it is gone at once, or whole."""

    def leftovers(self, older_than_s: float) -> list[str]:
        """Return what interrupted writers left behind, when it is old."""

    def read(self, name: str) -> Content:
        """Return a file."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not be there; False when it is."""

    def swap(self, name: str, tag: str | None, content: bytes) -> bool:
        """Replace a file that must still be what `read` gave with this tag; False when it is not."""
