"""From `--registry` to a registry: a folder, or an fsspec URL.

Owns the schemes and the package of each. Credentials come from the environment of each client (`AWS_*` for S3).
"""

from __future__ import annotations

from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.storage import OPENING, reason, refuse_malformed
from trainer.errors import RegistryError
from trainer.registry.local_store import LocalFolder
from trainer.registry.object_store import ObjectStore
from trainer.registry.registry import Registry

PACKAGES = {"s3": "the extra `s3` (pip install s3fs)", "gs": "pip install gcsfs", "abfs": "pip install adlfs"}


def open_registry(location: str) -> Registry:
    """Return the registry of a setting: a folder, `s3://bucket/path`, or another fsspec URL.

    Raises:
        RegistryError: the URL is not valid, or its package is not installed; names the package.
    """
    scheme = location.partition("://")[0] if "://" in location else "file"
    try:
        refuse_malformed(location)
        files, root = fsspec.core.url_to_fs(location)
    except ImportError as error:
        how = PACKAGES.get(scheme, "install its fsspec package")
        raise RegistryError(f"registry {location}: {scheme}:// needs a package that is not installed: {how}") from error
    except OPENING as error:
        text = f"registry {location}: {reason(error, location)}; use a folder or s3://bucket/path"
        raise RegistryError(text) from error
    if isinstance(files, LocalFileSystem):
        return Registry(LocalFolder(Path(location.removeprefix("file://"))), location)
    return Registry(ObjectStore(files, str(root)), location)
