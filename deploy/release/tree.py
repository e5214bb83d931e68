"""The commit that a release is made from, and when none may be made.

Owns the look at git: the working tree has no change, the tag of the version is free or names this very commit, and the
files are taken from the commit, never from the working tree. Next: `packages` builds from the exported folder.
"""

from dataclasses import dataclass
from pathlib import Path

from deploy.programs import run
from deploy.release.errors import ReleaseRefusedError


@dataclass(frozen=True, slots=True)
class Commit:
    """What a release is made from; `epoch` is its time in Unix seconds, the SOURCE_DATE_EPOCH of all that is built."""

    root: Path
    revision: str
    epoch: int


def clean_commit(root: Path) -> Commit:
    """Return the commit of the working tree at `root`.

    Raises:
        ReleaseRefusedError: a file differs from the commit, or git does not know it and does not ignore it.
    """
    changed = run(["git", "status", "--porcelain"], cwd=root).splitlines()
    if changed:
        named = ", ".join(line[3:] for line in changed[:5])
        raise ReleaseRefusedError(
            f"the working tree differs from the commit ({len(changed)} files: {named}); commit first"
        )
    revision, epoch = run(["git", "show", "--no-patch", "--format=%H %ct", "HEAD"], cwd=root).split()
    return Commit(root, revision, int(epoch))


def require_free_version(commit: Commit, version: str, folder: Path) -> None:
    """Refuse a version that exists: a tag on another commit, or a folder of an earlier run.

    The tag on this commit is no reason: the workflow that a pushed tag starts runs with it.
    """
    tag = f"v{version}"
    if run(["git", "tag", "--list", tag], cwd=commit.root).strip():
        tagged = run(["git", "rev-list", "--max-count=1", tag], cwd=commit.root).strip()
        if tagged != commit.revision:
            raise ReleaseRefusedError(
                f"{tag} exists, at {tagged[:12]}; this is {commit.revision[:12]}: choose the next version with "
                "`make release-prepare VERSION=...`"
            )
    if folder.exists():
        raise ReleaseRefusedError(
            f"{folder} exists: version {version} was built before; remove the folder to build it again"
        )


def export(commit: Commit, folder: Path) -> Path:
    """Write the commit's files into `folder`: their times are the commit's, their modes do not depend on a umask."""
    archive = folder.with_suffix(".tar")
    run(["git", "-c", "tar.umask=0022", "archive", "--output", archive, commit.revision], cwd=commit.root)
    folder.mkdir()
    run(["tar", "--extract", "--file", archive, "--directory", folder])
    archive.unlink()
    return folder
