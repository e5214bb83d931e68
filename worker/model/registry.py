"""The worker's view of the registry: which version a channel points at, and a version's verified bundle.

Owns the way from `WORKER_REGISTRY`, an fsspec URL, to a `Bundle`. Never writes. A bundle on a remote registry is copied
to a temporary folder first, so that the bytes verified are the bytes served. The starter's version is read from the
package, wherever it is asked for: a version's name holds the hash of what it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.bundle import REPORT_FILE, Bundle, BundleError, read_bundle
from schemas.channels import CHANNELS_FILE, STABLE, ChannelsError, parse_channels
from schemas.command_line.spelling import did_you_mean
from schemas.starter import starter_bundle, starter_report, starter_version
from schemas.storage import OPENING, reason, refuse_malformed, store_errors
from worker.errors import ModelError, RegistryError

_HOW = (
    "train one: starstream-trainer train --data reviews.csv --registry {registry}; "
    "or begin with the starter: starstream-trainer starter --registry {registry}, or WORKER_STARTER=on"
)


def read_channels(registry: str, *, starter: bool = False) -> dict[str, str]:
    """Return which version each channel points at.

    Args:
        registry: a folder or an fsspec URL.
        starter: whether the starter is the `stable` of an empty registry.

    Raises:
        RegistryError: the registry does not answer, or `channels.json` is malformed, or missing without `starter`.
    """
    files, root = _open(registry)
    try:
        return parse_channels(files.cat_file(f"{root}/{CHANNELS_FILE}"))
    except FileNotFoundError as error:
        if starter:
            return {STABLE: starter_version()}
        how = _HOW.format(registry=registry)
        message = f"WORKER_REGISTRY={registry}: no bundle there ({CHANNELS_FILE} is missing); {how}"
        raise RegistryError(message) from error
    except ChannelsError as error:
        raise RegistryError(f"WORKER_REGISTRY={registry}: {error}") from error
    except store_errors() as error:
        text = f"cannot read {CHANNELS_FILE}: {reason(error, registry)}"
        raise RegistryError(f"WORKER_REGISTRY={registry}: {text}") from error


def resolve_version(registry: str, channel: str, *, starter: bool = False) -> str:
    """Return the version a channel points at; with `starter`, in an empty registry the starter's.

    Raises:
        RegistryError: there is no registry, no `channels.json` or no such channel; the message says how to make one.
    """
    channels = read_channels(registry, starter=starter)
    if channel not in channels:
        near = did_you_mean(channel, channels)
        there = f"there are: {', '.join(sorted(channels))}" if channels else _HOW.format(registry=registry)
        raise RegistryError(f"WORKER_CHANNEL={channel}: not in {registry}/{CHANNELS_FILE}; {there}{near}")
    return channels[channel]


def fetch_bundle(registry: str, version: str) -> Bundle:
    """Return a verified bundle.

    Raises:
        ModelError: the bundle is missing, altered, or of another schema version.
        RegistryError: the registry does not answer.
    """
    try:
        if version == starter_version():
            return starter_bundle()
        files, root = _open(registry)
        if isinstance(files, LocalFileSystem):
            return read_bundle(Path(root) / version)
        with tempfile.TemporaryDirectory(prefix="starstream-") as folder:
            files.get(f"{root}/{version}/", f"{folder}/", recursive=True)
            return read_bundle(Path(folder))
    except BundleError as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: {error}") from error
    except FileNotFoundError as error:
        raise ModelError(f"WORKER_REGISTRY={registry}: there is no version {version}: {error}") from error
    except store_errors() as error:
        text = f"cannot fetch {version}: {reason(error, registry)}"
        raise RegistryError(f"WORKER_REGISTRY={registry}: {text}") from error


def read_report(registry: str, version: str) -> str | None:
    """Return the HTML report of a version; None when it has none.

    Raises:
        RegistryError: the registry does not answer.
    """
    if version == starter_version():
        return starter_report()
    files, root = _open(registry)
    try:
        return str(files.cat_file(f"{root}/{version}/{REPORT_FILE}").decode("utf-8", "replace"))
    except FileNotFoundError:
        return None
    except store_errors() as error:
        text = f"cannot read the report of {version}: {reason(error, registry)}"
        raise RegistryError(f"WORKER_REGISTRY={registry}: {text}") from error


def _open(registry: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        refuse_malformed(registry)
        files, root = fsspec.core.url_to_fs(registry)
    except OPENING as error:
        raise RegistryError(f"WORKER_REGISTRY={registry}: {reason(error, registry)}") from error
    files.invalidate_cache()
    return files, str(root).rstrip("/")
