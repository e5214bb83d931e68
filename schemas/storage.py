"""The errors of a registry's store behind fsspec, and how they are reported in one line.

Owns the list of the client libraries. fsspec asks its backends to raise OSError, but they let through what their client
raises: without credentials, botocore's NoCredentialsError. The worker's and the trainer's registries translate all of
it in one place each. Never imports a client: one that is not loaded cannot have raised.
"""

from __future__ import annotations

import sys
from typing import Final
from urllib.parse import urlsplit

# Of opening a URL: a missing package, a URL that is none, and a backend that needs more than a URL.
OPENING: Final = (ImportError, OSError, ValueError, TypeError, LookupError)
_CLIENTS: Final = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
    "google.auth.exceptions": ("GoogleAuthError",),
    "gcsfs.retry": ("HttpError",),
    "azure.core.exceptions": ("AzureError",),
    "requests": ("RequestException",),
    "paramiko": ("SSHException",),
}
_HINTS: Final = {"s3": "AWS_*", "gs": "GOOGLE_APPLICATION_CREDENTIALS", "gcs": "GOOGLE_APPLICATION_CREDENTIALS"}


def store_errors() -> tuple[type[Exception], ...]:
    """Return what reading or writing a store can raise, with the clients that are loaded now."""
    loaded = [(sys.modules[module], names) for module, names in _CLIENTS.items() if module in sys.modules]
    # ValueError and LookupError: for a path or a bucket that they cannot use.
    return (OSError, ValueError, LookupError, *(getattr(module, name) for module, names in loaded for name in names))


def refuse_malformed(location: str) -> None:
    """Refuse a registry's location that no backend takes.

    Raises:
        ValueError: an address that is none, or no bucket.
    """
    parts = urlsplit(location)
    if parts.scheme in {"s3", "gs", "gcs", "abfs", "az", "http", "https"} and not parts.netloc:
        raise ValueError(f"a bucket or host is missing after {parts.scheme}://")


def reason(error: Exception, location: str) -> str:
    """Return an error as one line, with where a remote store's credentials come from."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    hint = _HINTS.get(location.partition("://")[0]) if "://" in location else None
    line = " ".join(text.split())
    if isinstance(error, ImportError) and location.startswith("s3://"):
        return f"{line}: the extra `s3`"
    return f"{line} (credentials and address come from the environment: {hint})" if hint else line
