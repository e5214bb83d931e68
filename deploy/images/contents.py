"""What is in an image: its files, seen from outside, and its configuration.

Owns the look; what must or must not be there is said in tests/images. Reads the image's files through buildah's mount
and writes nothing into them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.programs import run


@contextmanager
def mounted(name: str) -> Iterator[Path]:
    """Give the root folder of an image's files."""
    container = run(["buildah", "from", "--pull-never", name]).strip()
    try:
        yield Path(run(["buildah", "mount", container]).strip())
    finally:
        run(["buildah", "rm", container])


def configuration(name: str) -> dict[str, Any]:
    """Return the image's configuration in Docker's words: `User`, `Entrypoint`, `Env`, `Healthcheck`, ..."""
    found: dict[str, Any] = json.loads(run(["buildah", "inspect", "--type", "image", name]))["Docker"]["config"]
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an image: Debian's files, Python and its library, or a package."""

    name: str
    megabytes: float


def parts(root: Path) -> list[Part]:
    """Return what the image is made of, the largest first; the parts add up to the whole image."""
    (site,) = (root / "opt/venv/lib").glob("python3*/site-packages")
    sizes: dict[str, int] = {}
    for path, size in _files(root):
        if path.is_relative_to(site):
            name = path.relative_to(site).parts[0]
            part = "numpy" if name.startswith("numpy") else name.removesuffix(".libs").partition(".")[0]
        else:
            part = "Debian and Python" if not path.is_relative_to(root / "opt") else "/opt without packages"
        sizes[part] = sizes.get(part, 0) + size
    return sorted((Part(name, size / 1e6) for name, size in sizes.items()), key=lambda part: -part.megabytes)


def _files(root: Path) -> Iterator[tuple[Path, int]]:
    seen: set[int] = set()  # a file with two names is stored once
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        status = path.stat()
        if status.st_ino not in seen:
            seen.add(status.st_ino)
            yield path, status.st_size
