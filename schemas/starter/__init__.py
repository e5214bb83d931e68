"""The starter: a model that comes with the package, for a registry that has none yet.

Owns `starter.zip`, which holds one version as a registry does: the bundle's files, and the weights that a warm start
needs. What it was trained on, and how well it does, is in MODEL_CARD.md. Never trains: `python -m
tests.benchmarks.starter` makes both files. The worker reads the bundle from here, and the trainer's command `starter`
publishes it in a registry.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from schemas.bundle import REPORT_FILE, Bundle, read_bundle

STARTER_FILE: Final = Path(__file__).with_name("starter.zip")
CARD_FILE: Final = Path(__file__).with_name("MODEL_CARD.md")
_WEIGHTS: Final = "weights.npz"
_DATE: Final = (2026, 1, 1, 0, 0, 0)  # of every file inside, so that the same files give the same bytes


class Starter(NamedTuple):
    """The version as it is published."""

    version: str
    files: Mapping[str, bytes]
    weights: bytes


@cache
def starter_version(path: Path = STARTER_FILE) -> str:
    """Return its version, without reading the bundle."""
    with zipfile.ZipFile(path) as content:
        return content.namelist()[0].partition("/")[0]


def starter_bundle(path: Path = STARTER_FILE) -> Bundle:
    """Return the bundle, verified.

    Raises:
        BundleError: the package is damaged.
    """
    return read_bundle(zipfile.Path(path, f"{starter_version(path)}/"))


def starter_report() -> str:
    """Return the HTML report of its training."""
    return zipfile.Path(STARTER_FILE, f"{starter_version()}/{REPORT_FILE}").read_text(encoding="utf-8")


def read_starter(path: Path = STARTER_FILE) -> Starter:
    """Return everything that a registry keeps of it."""
    with zipfile.ZipFile(path) as content:
        files = {name.partition("/")[2]: content.read(name) for name in content.namelist()}
    return Starter(starter_version(path), files, files.pop(_WEIGHTS))


def starter_bytes(starter: Starter) -> bytes:
    """Return the content of `starter.zip`; the same version gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for name, data in sorted({**starter.files, _WEIGHTS: starter.weights}.items()):
            entry = zipfile.ZipInfo(f"{starter.version}/{name}", _DATE)
            content.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()
