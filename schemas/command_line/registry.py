"""What a shell may complete of a registry: its channels and versions.

Reads only a folder on this machine: nobody waits for a network at the press of a key. Never fails: a folder that is no
registry has nothing to complete.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from schemas.channels import CHANNELS_FILE, ChannelsError, parse_channels

_DEFAULT = "models"


class RegistryNames:
    """Names in the registry of a command line.

    Args:
        elsewhere: where it is when no flag says so; None: in the default folder.
    """

    def __init__(self, elsewhere: Callable[[], str | None] = lambda: None) -> None:
        self._elsewhere = elsewhere

    def channels(self, ctx: click.Context, _typed: str) -> list[str]:
        """Return the channels."""
        try:
            return sorted(parse_channels((self._folder(ctx) / CHANNELS_FILE).read_bytes()))
        except (OSError, ChannelsError):
            return []

    def versions(self, ctx: click.Context, _typed: str) -> list[str]:
        """Return the versions, newest first."""
        from schemas.bundle import MANIFEST_FILE  # loads NumPy

        try:
            return sorted((path.parent.name for path in self._folder(ctx).glob(f"*/{MANIFEST_FILE}")), reverse=True)
        except OSError:
            return []

    def both(self, ctx: click.Context, typed: str) -> list[str]:
        """Return both, where a command takes a version or a channel."""
        return [*self.channels(ctx, typed), *self.versions(ctx, typed)]

    def _folder(self, ctx: click.Context) -> Path:
        return Path(ctx.params.get("registry") or self._elsewhere() or _DEFAULT)
