"""The registry: versions, channels that point at them, and the history of their moves.

Owns what a published version is (a folder that is published atomically) and how a channel moves. Never reads the
content of a bundle: `schemas.bundle` does.

A channel moves by a numbered change that only one writer can create; `channels.json`, which workers read, follows from
the last change. A writer that finds it one change behind finishes that change first, so a crash between the two writes
leaves no move half done, and of two concurrent moves the second sees the first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from schemas.bundle import MANIFEST_FILE, Bundle, parse_manifest, read_bundle
from schemas.channels import CANDIDATE, CHANNELS_FILE, STABLE, ChannelsError, channels_bytes, parse_channels
from schemas.command_line.spelling import did_you_mean
from schemas.manifest import Manifest
from trainer.errors import ConflictError, RegistryError
from trainer.registry.channel_names import check_channel, no_channel
from trainer.registry.history import (
    Change,
    Why,
    change_file,
    make_change,
    numbers,
    read_change,
    rollback_target,
)
from trainer.registry.store import HISTORY, WEIGHTS, Store

_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
ATTEMPTS = 50  # of a change while other writers move channels
LEFTOVER_S = 86_400.0  # a publish that has taken a day was interrupted


class _Anything:
    """The caller of `point` does not care where the channel points."""


ANYTHING: Final = _Anything()


class _State(NamedTuple):
    number: int
    channels: dict[str, str]


class Registry:
    """Versions and channels in a store.

    Args:
        location: where it is, for people.
    """

    def __init__(self, store: Store, location: str = "the registry") -> None:
        self._store = store
        self._location = location

    def versions(self) -> list[str]:
        """Return the published versions, oldest first (they start with their time)."""
        with _translated("the registry cannot be listed"):
            return [name for name in self._store.folders() if _VERSION.fullmatch(name)]

    def channels(self) -> dict[str, str]:
        """Return which version each channel points at.

        Raises:
            RegistryError: the file is not what `point` writes.
        """
        with _translated(f"{CHANNELS_FILE} cannot be read"):
            return _channels(self._store.read(CHANNELS_FILE).content)

    def resolve(self, name: str) -> str:
        """Return the version of a channel, or the version of this name.

        Raises:
            RegistryError: there is none; the message lists the known names.
        """
        channels = self.channels()
        version = channels.get(name, name)
        versions = self.versions()
        if version in versions:
            return version
        if not versions:
            raise RegistryError(
                f"{self._location}: no version yet; publish one with `train` or `starter`, or name another --registry"
            )
        known = ", ".join([*sorted(channels), *versions[-5:]])
        what = f"{name} points at {version}, which" if name in channels else name
        near = did_you_mean(name, [*channels, *versions])
        raise RegistryError(f"{what} is not in the registry; there are: {known}{near}")

    def require_channel(self, channel: str, *, new: bool) -> None:
        """Refuse a channel that there is not, so that a typo makes none.

        Args:
            channel: `stable` and `candidate` may always be made.
            new: whether it may be any other name.

        Raises:
            RegistryError: there is none of this name, or it is no name for a channel.
        """
        check_channel(channel)
        known = {STABLE, CANDIDATE, *self.channels()}
        if not new and channel not in known:
            raise RegistryError(f"{no_channel(channel, known)}; --new-channel makes it")

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a version, without checking its other files.

        Raises:
            BundleError: there is no manifest, or it is not valid.
        """
        name = f"{version}/{MANIFEST_FILE}"
        with _translated(f"{name} cannot be read"):
            return parse_manifest(self._store.read(name).content, name)

    @contextmanager
    def folder(self, version: str) -> Iterator[Path]:
        """Yield a version's folder on this machine, downloaded if needed, during the block."""
        with _translated(f"{version} cannot be fetched"), self._store.folder(version) as path:
            yield path

    def bundle(self, version: str) -> Bundle:
        """Return a version after checking every file.

        Raises:
            BundleError: a file is missing, altered, or of a schema this release does not read.
        """
        with self.folder(version) as path:
            return read_bundle(path)

    def weights(self, version: str) -> bytes | None:
        """Return the training weights of a version, None when there are none."""
        with _translated(f"the weights of {version} cannot be read"):
            return self._store.read(weights_file(version)).content

    def publish(self, version: str, files: Mapping[str, bytes], weights: bytes | None = None) -> None:
        """Add a version atomically, and its training weights in a folder that no worker reads.

        Raises:
            RegistryError: the version exists already, or the folder cannot be written.
        """
        if version in self.versions():
            raise RegistryError(f"{version} is in the registry already")
        with _translated(f"{version}: nothing was published"):
            if weights is not None and not self._store.create(weights_file(version), weights):
                raise RegistryError(f"{version}: it has other weights already; `prune` removes leftovers")
            try:
                self._store.add_folder(version, files)
            except BaseException:
                if weights is not None:
                    with suppress(OSError):
                        self._store.remove(weights_file(version))
                raise

    def point(self, channel: str, version: str, why: Why, expected: str | _Anything | None = ANYTHING) -> Change:
        """Move a channel to a version of this registry, and record who, when and why.

        Args:
            channel: created when there is none of this name.
            version: of this registry.
            why: for the history.
            expected: the version the channel must still point at; None: there must be no such channel.

        Raises:
            ConflictError: the channel does not point at `expected`, or other writers keep moving channels.
            RegistryError: there is no such version, or a file cannot be written.
        """
        check_channel(channel)
        if version not in self.versions():
            raise RegistryError(f"{version} is not in the registry")
        with _translated(f"{channel} did not move"):
            for _ in range(ATTEMPTS):
                state = self._settled()
                now = state.channels.get(channel)
                if not isinstance(expected, _Anything) and now != expected:
                    raise ConflictError(
                        f"{channel} points at {now or 'no version'}, no longer at {expected or 'no version'}; "
                        "see `history` and decide again"
                    )
                change = make_change(state.number + 1, channel, version, state.channels, why)
                if self._store.create(change.file, change.content):
                    self._settled()
                    return change
        raise ConflictError(f"{channel} did not move: others moved channels {ATTEMPTS} times meanwhile; try again")

    def rollback(self, channel: str, why: Why) -> Change:
        """Move a channel back to the version before.

        Raises:
            RegistryError: the history has no version before, or that version was removed.
            ConflictError: somebody else moved the channel at the same time.
        """
        now = self.channels().get(channel)
        if now is None:
            raise RegistryError(no_channel(channel, self.channels()))
        target = rollback_target(self.history(), channel)
        if target is None:
            raise RegistryError(
                f"{channel}: the history has nothing before {now}; name one: promote --version ... --channel {channel}"
            )
        return self.point(channel, target, why, expected=now)

    def history(self) -> list[Change]:
        """Return the changes of all channels, oldest first."""
        with _translated("the history cannot be read"):
            return [self._change(number) for number in numbers(self._store.names(HISTORY))]

    def referenced(self) -> set[str]:
        """Return the versions that must stay: those that channels point at or would roll back to."""
        channels, changes = self.channels(), self.history()
        targets = {rollback_target(changes, channel) for channel in channels}
        return set(channels.values()) | {target for target in targets if target is not None}

    def prunable(self, keep: int) -> list[str]:
        """Return what `remove` may remove: leftovers, and older versions than the newest `keep` without a reference."""
        versions = self.versions()
        stay = {*versions[-keep:], *self.referenced()}
        gone = [version for version in versions if version not in stay]
        with _translated("the registry cannot be listed"):
            names = [f"{WEIGHTS}/{name}" for name in self._store.names(WEIGHTS)]
            orphans = [name for name in names if _orphan(name, set(versions))]
            return [*gone, *orphans, *self._store.leftovers(LEFTOVER_S)]

    def remove(self, name: str) -> bool:
        """Remove a version with its weights, or a leftover; False when a channel needs it now."""
        if name in self.referenced():
            return False
        with _translated(f"{name} cannot be removed"):
            self._store.remove(name)
            if self._store.read(weights_file(name)).content is not None:
                self._store.remove(weights_file(name))
        return True

    def _settled(self) -> _State:
        """Return the channels after the last change; write `channels.json` first if it is one change behind."""
        for _ in range(ATTEMPTS):
            number = self._last()
            found = self._store.read(CHANNELS_FILE)
            channels = _channels(found.content)
            if self._last() != number:
                continue
            if number == 0:
                return _State(0, channels)
            change = self._change(number)
            # Equal to neither: the file was edited by hand. The edit is kept; the history shows the gap.
            if channels != change.before or channels == change.after:
                return _State(number, channels)
            self._store.swap(CHANNELS_FILE, found.tag, channels_bytes(change.after))
        raise ConflictError(f"{CHANNELS_FILE}: others keep moving channels; try again")

    def _last(self) -> int:
        return max(numbers(self._store.names(HISTORY)), default=0)

    def _change(self, number: int) -> Change:
        name = change_file(number)
        return read_change(name, self._store.read(name).content or b"")


def weights_file(version: str) -> str:
    """Return the name of the file with the training weights of a version."""
    return f"{WEIGHTS}/{version}.npz"


def _channels(content: bytes | None) -> dict[str, str]:
    try:
        return {} if content is None else parse_channels(content)
    except ChannelsError as error:
        raise RegistryError(f"{error}; `history` says what it was") from error


def _orphan(weights: str, versions: set[str]) -> bool:
    """Whether weights belong to no version and to no publish in progress."""
    version = weights.removeprefix(f"{WEIGHTS}/").removesuffix(".npz")
    if version in versions or not _VERSION.fullmatch(version):
        return False
    made = datetime.strptime(version.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return time.time() - made.timestamp() > LEFTOVER_S


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Translate an error of the store; `what` says what failed."""
    try:
        yield
    except OSError as error:
        raise RegistryError(f"{what}: {error.strerror or error}") from error
