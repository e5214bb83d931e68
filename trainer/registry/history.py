"""The history of a registry's channels: who moved which, when and why, one numbered file a change.

Owns the content of a change, and where a rollback goes. Never reads or writes files: `registry` does. A change has all
channels before and after it, so the last change determines `channels.json`.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.errors import RegistryError
from trainer.registry.store import HISTORY

Action = Literal["train", "publish", "promote", "rollback"]


class Why(BaseModel):
    """The reason of a change: the command, the message, and the gate's refusals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    message: str = ""
    forced: bool = False
    refusals: list[str] = []  # the gate's failing rows; only a forced change has them


class Change(Why):
    """One move of one channel, `history/<number>.json`."""

    number: Annotated[int, Field(ge=1)]
    at: str
    by: str
    channel: str
    version: str
    before: dict[str, str]
    after: dict[str, str]
    id: str = Field(default_factory=lambda: uuid4().hex)  # two writers' changes never have the same bytes

    @property
    def file(self) -> str:
        """The name of its file."""
        return change_file(self.number)

    @property
    def content(self) -> bytes:
        """The content of its file."""
        return self.model_dump_json(indent=1).encode() + b"\n"

    def __str__(self) -> str:
        was = self.before.get(self.channel)
        return f"{self.channel} to {self.version}{f' (was {was})' if was else ''}, {self.at}, {self.by}"


def change_file(number: int) -> str:
    """Return the name of the file of a change."""
    return f"{HISTORY}/{number:08d}.json"


def numbers(names: Iterable[str]) -> list[int]:
    """Return the numbers of the changes among file names, in order."""
    stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def read_change(name: str, content: bytes) -> Change:
    """Read the content of a change's file.

    Raises:
        RegistryError: it is not a change.
    """
    try:
        return Change.model_validate_json(content)
    except ValidationError as error:
        raise RegistryError(f"{name}: not a change of a channel ({error.errors()[0]['msg']}); restore it") from error


def make_change(number: int, channel: str, version: str, before: dict[str, str], why: Why) -> Change:
    """Return the change that moves a channel to a version, by the current user, now."""
    return Change(
        **why.model_dump(),
        number=number,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=_author(),
        channel=channel,
        version=version,
        before=before,
        after={**before, channel: version},
    )


def _author() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def rollback_target(changes: Iterable[Change], channel: str) -> str | None:
    """Return the version that a rollback of the channel goes to, None when there is none.

    A rollback undoes the last move that is not undone yet, so two in a row go back two versions.
    """
    earlier: list[str] = []
    for change in changes:
        was = change.before.get(channel)
        if change.channel != channel or was in {None, change.version}:
            continue
        if change.action == "rollback":
            if earlier:
                earlier.pop()
        else:
            earlier.append(str(was))
    return earlier[-1] if earlier else None
