"""The images, built from this working tree. They need root, buildah and mmdebstrap, and minutes: only by name.

`make images` names this folder; `make test` does not collect it (tests/conftest.py). So the tests that need a build
never surprise anybody, and `.ci/run` says when they run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.images.build import build
from deploy.images.contents import mounted
from schemas import __version__
from tests.conftest import ROOT, missing

EPOCH = 1_764_000_000


def _image(product: str) -> str:
    if os.geteuid() != 0 or not all(shutil.which(program) for program in ("buildah", "mmdebstrap")):
        missing("images are built as root with buildah and mmdebstrap")
    return build(product, ROOT, version=__version__, revision="working-tree", epoch=EPOCH)


@pytest.fixture(scope="session")
def worker_image() -> str:
    return _image("worker")


@pytest.fixture(scope="session")
def trainer_image() -> str:
    return _image("trainer")


@pytest.fixture(scope="session")
def worker_root(worker_image: str) -> Iterator[Path]:
    with mounted(worker_image) as root:
        yield root


@pytest.fixture(scope="session")
def trainer_root(trainer_image: str) -> Iterator[Path]:
    with mounted(trainer_image) as root:
        yield root
