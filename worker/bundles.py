"""Which bundle to serve: the registry's channel, fetched and verified.

Owns the way from `WORKER_REGISTRY` to a `Bundle`. Reads only. The registry is an fsspec URL; a bundle on a remote one
is copied beside before it is read, so that what is verified is what is served.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.bundle import CHANNELS_FILE, Bundle, BundleError, read_bundle
from worker.errors import ModelError

_HOW = "train one: python -m trainer train --data reviews.csv --registry {registry}"


def resolve_version(registry: str, channel: str) -> str:
    """Return the version a channel points at.

    Raises:
        ModelError: no registry, no channels, or no such channel; says how to make one.
    """
    files, root = _open(registry)
    path = f"{root}/{CHANNELS_FILE}"
    how = _HOW.format(registry=registry)
    try:
        channels = json.loads(files.cat_file(path))
    except FileNotFoundError as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: no bundle there ({CHANNELS_FILE} is missing); {how}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: cannot read {CHANNELS_FILE}: {error}") from error
    version = channels.get(channel) if isinstance(channels, dict) else None
    if not isinstance(version, str):
        raise ModelError(f"WORKER_CHANNEL={channel}: not in {registry}/{CHANNELS_FILE} ({channels}); {how}")
    return version


def fetch_bundle(registry: str, version: str) -> Bundle:
    """Return a verified bundle.

    Raises:
        ModelError: it is not there, altered, or of another schema.
    """
    files, root = _open(registry)
    try:
        if isinstance(files, LocalFileSystem):
            return read_bundle(Path(root) / version)
        with tempfile.TemporaryDirectory(prefix="starstream-") as beside:
            files.get(f"{root}/{version}/", f"{beside}/", recursive=True)
            return read_bundle(Path(beside))
    except BundleError as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: {error}") from error
    except OSError as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: cannot fetch {version}: {error}") from error


def _open(registry: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        files, root = fsspec.core.url_to_fs(registry)
    except (ImportError, ValueError) as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: {error}") from error
    files.invalidate_cache()
    return files, str(root).rstrip("/")
