"""The changelog and the version of a release.

Owns reading one release's section as its notes, and the one step that begins a release: the unreleased section gets the
version and its date, and every file that names the version names the new one, first `schemas.__version__`. Commits
nothing.
"""

import re
from pathlib import Path

from deploy.release.errors import ReleaseRefusedError

UNRELEASED = "## [Unreleased]"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(rc[1-9]\d*)?")
# Where the version stands: in the source, and as the tag of an image.
SOURCE = Path("schemas/__init__.py")
IMAGE_TAGS = (
    Path("deploy/docker/Dockerfile"),
    Path("docker-compose.yml"),
    *(Path("deploy/kubernetes") / name for name in ("base", "overlays")),
)


def notes(text: str, version: str) -> str:
    """Return what the changelog says of a version, without its heading.

    Raises:
        ReleaseRefusedError: it has no section, or an empty one.
    """
    found = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|^\[[^\]]+\]: |\Z)", text, re.M | re.S
    )
    if not found or not found[1].strip():
        raise ReleaseRefusedError(
            f"CHANGELOG.md has no section `## [{version}] - <date>` with a line in it: "
            f"run `make release-prepare VERSION={version}` and commit"
        )
    return found[1].strip() + "\n"


def prepare(root: Path, version: str, *, current: str, today: str) -> list[Path]:
    """Make `version` the version of the tree at `root`; return the files that changed.

    Raises:
        ReleaseRefusedError: no version, an older one, one that the changelog has, or nothing is unreleased.
    """
    if not _VERSION.fullmatch(version):
        raise ReleaseRefusedError(
            f"VERSION={version!r}: a version is three numbers such as 0.2.0, or 0.2.0rc1 before it"
        )
    if _order(version) < _order(current):
        raise ReleaseRefusedError(f"VERSION={version} is older than {current}")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if f"## [{version}]" in text:
        raise ReleaseRefusedError(f"CHANGELOG.md has {version} already")
    if not re.search(rf"^{re.escape(UNRELEASED)}\n+(?!## )\S", text, re.M):
        raise ReleaseRefusedError("CHANGELOG.md has nothing under [Unreleased]: there is nothing to release")
    written = {changelog: text.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {today}", 1)}
    for path in [root / SOURCE, *_files(root)]:
        before = path.read_text(encoding="utf-8")
        quoted = (
            rf'(__version__ = "|ARG VERSION=|starstream-(?:worker|trainer):|newTag: "?){re.escape(current)}(?![\w.])'
        )
        after = re.sub(quoted, rf"\g<1>{version}", before)
        if after != before:
            written[path] = after
    for path, after in written.items():
        path.write_text(after, encoding="utf-8")
    return list(written)


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for path in (root / tag for tag in IMAGE_TAGS):
        found += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    return found


def _order(version: str) -> tuple[int, int, int, float]:
    """A release candidate comes before its release."""
    major, minor, patch, candidate = _VERSION.fullmatch(version).groups()  # type: ignore[union-attr]
    return int(major), int(minor), int(patch), float(candidate[2:]) if candidate else float("inf")
