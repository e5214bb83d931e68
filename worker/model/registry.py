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
from worker.errors import ModelError, RegistryError

_HOW = "train one: python -m trainer train --data reviews.csv --registry {registry}"


def read_channels(registry: str) -> dict[str, str]:
    """Return which version each channel points at.

    Raises:
        RegistryError: the registry does not answer, has no channels, or what is there is not that.
    """
    files, root = _open(registry)
    try:
        channels = json.loads(files.cat_file(f"{root}/{CHANNELS_FILE}"))
    except FileNotFoundError as error:
        how = _HOW.format(registry=registry)
        message = f"WORKER_REGISTRY={registry}: no bundle there ({CHANNELS_FILE} is missing); {how}"
        raise RegistryError(message) from error
    except (OSError, ValueError) as error:
        raise RegistryError(f"WORKER_REGISTRY={registry}: cannot read {CHANNELS_FILE}: {error}") from error
    if not isinstance(channels, dict):
        raise RegistryError(f"WORKER_REGISTRY={registry}: {CHANNELS_FILE} is no object of channel: version")
    return {name: version for name, version in channels.items() if isinstance(version, str)}


def resolve_version(registry: str, channel: str) -> str:
    """Return the version a channel points at.

    Raises:
        RegistryError: no registry, no channels, or no such channel; says how to make one.
    """
    channels = read_channels(registry)
    if channel not in channels:
        how = _HOW.format(registry=registry)
        raise RegistryError(f"WORKER_CHANNEL={channel}: not in {registry}/{CHANNELS_FILE} ({channels}); {how}")
    return channels[channel]


def fetch_bundle(registry: str, version: str) -> Bundle:
    """Return a verified bundle.

    Raises:
        ModelError: it is not there, altered, or of another schema.
        RegistryError: the registry does not answer.
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
    except FileNotFoundError as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: {version} is not there: {error}") from error
    except OSError as error:
        raise RegistryError(f"WORKER_REGISTRY={registry}: cannot fetch {version}: {error}") from error


def _open(registry: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        files, root = fsspec.core.url_to_fs(registry)
    except (ImportError, ValueError) as error:
        raise RegistryError(f"WORKER_REGISTRY={registry}: {error}") from error
    files.invalidate_cache()
    return files, str(root).rstrip("/")
