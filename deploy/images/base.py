"""The Dockerfile's base image, made from Debian's packages.

Owns what has to be done so that Debian's Python stands in for the image `python:3.13-slim` where no image registry is
reached: the same `python` and `pip` on the path, the same freedom to install, and no compiler. Never used where the
real image is there: `build` asks for it only when it is missing.
"""

import re
import tempfile
from pathlib import Path

from deploy.programs import run

DOCKERFILE = Path(__file__).parents[1] / "docker" / "Dockerfile"
# The Debian that has this Python.
_SUITES = {"3.11": "bookworm", "3.13": "trixie"}
_PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates,passwd,apt"
# PEP 668's mark: pip may install beside Debian's packages, as in the official image.
_HOOK = 'rm "$1"/usr/lib/python3*/EXTERNALLY-MANAGED'


def base_image() -> str:
    """Return the image that the Dockerfile builds on, without a digest."""
    found = re.search(r"^ARG PYTHON_IMAGE=([^@\s]+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError("the Dockerfile names no PYTHON_IMAGE")
    return found[1]


def has_image(name: str) -> bool:
    """Whether this machine's image store has it."""
    return bool(run(["buildah", "images", "--quiet", "--filter", f"reference={name}"]).strip())


def make_base(epoch: int) -> str:
    """Make the base image from Debian's packages and name it as the Dockerfile does; return the name.

    Takes about a minute and needs root. The files are the same until Debian has newer packages.
    """
    name = base_image()
    python = name.removeprefix("python:").removesuffix("-slim")
    documents = ["man", "locale", "doc", "info"]
    with tempfile.TemporaryDirectory(prefix="starstream-base-") as scratch:
        archive = Path(scratch) / "base.tar"
        run(
            ["mmdebstrap", "--quiet", "--variant=essential", f"--include={_PACKAGES}",
             *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in documents),
             "--dpkgopt=path-include=/usr/share/doc/*/copyright", f"--customize-hook={_HOOK}",
             _SUITES[python], archive],
            env={"SOURCE_DATE_EPOCH": str(epoch)},
        )  # fmt: skip
        container = run(["buildah", "from", "scratch"]).strip()
        run(["buildah", "add", "--quiet", container, archive, "/"])
        run(["buildah", "config", "--cmd", "python3", container])
        run(["buildah", "commit", "--quiet", "--rm", "--format", "docker", container, f"docker.io/library/{name}"])
    return name
