"""The flags of the commands that look after a registry.

Owns their names, limits and help. `registry_commands` acts on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.bundle import STABLE
from trainer.settings import CANDIDATE, EvaluateSettings, GateSettings, Registry

Message = Annotated[str, Field(max_length=1000, description="Why, for the history.")]
Channel = Annotated[str, Field(description="The channel to move; made when there is none of the name.")]


class RegistrySettings(BaseModel):
    """Where the registry is."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    registry: Registry = "models"


class ListSettings(RegistrySettings):
    """List the versions of a registry, newest first, with their channels and figures.

    Examples:
      python -m trainer list --registry models/
      python -m trainer list --registry s3://bucket/models     # AWS_* variables, AWS_ENDPOINT_URL for other servers
    """


class ShowSettings(RegistrySettings):
    """Show what a version says of itself, after checking every file of it.

    Examples:
      python -m trainer show                     # what `stable` points at
      python -m trainer show --raw | less        # the manifest
    """

    version: Annotated[str, Field(description="A version or a channel.")] = STABLE
    raw: Annotated[bool, Field(description="Print the manifest as JSON.")] = False


class PublishSettings(RegistrySettings):
    """Copy a version from another registry into this one, after checking that it serves. No channel moves.

    Examples:
      python -m trainer publish --source models/ --version candidate --registry s3://bucket/models
      python -m trainer promote --registry s3://bucket/models --version 20260101T120000Z-0a1b2c3d
    """

    source: Annotated[str, Field(description="The registry to copy from.")]
    version: Annotated[str, Field(description="A version or a channel of the source.")]


class PromoteSettings(GateSettings, RegistrySettings):
    """Point a channel at a version. With --data the gate is asked first, on those reviews.

    Without --data nothing is compared but the labels: a version with another set of stars moves by --force only.

    Examples:
      python -m trainer promote --message "shadow agrees on 98%"            # candidate becomes stable
      python -m trainer promote --version candidate --data held_out.csv     # exit code 6: refused, and why
      python -m trainer promote --version 20260101T120000Z-0a1b2c3d --channel candidate
    """

    version: Annotated[str, Field(description="A version or a channel.")] = CANDIDATE
    channel: Channel = STABLE
    message: Message = ""
    force: Annotated[bool, Field(description="Move it though the gate refuses; the history says so.")] = False
    data: Annotated[list[Path], Field(description="Labelled reviews that neither version learned from.")] = []
    text_column: Annotated[str | None, Field(description="Default: the first of content, text, review.")] = None
    score_column: Annotated[str | None, Field(description="Default: the first of score, rating, stars, label.")] = None

    def evaluation(self) -> EvaluateSettings:
        """Return how the reviews are read."""
        return EvaluateSettings(data=self.data, text_column=self.text_column, score_column=self.score_column)


class RollbackSettings(RegistrySettings):
    """Point a channel back at what it pointed at before. Twice goes two versions back.

    Examples:
      python -m trainer rollback --message "one star too many for French"
      python -m trainer rollback --channel candidate
    """

    channel: Channel = STABLE
    message: Message = ""


class HistorySettings(RegistrySettings):
    """Show who moved which channel, when and why, newest first.

    Examples:
      python -m trainer history
      python -m trainer history --channel stable --json | jq .    # one change a line
    """

    channel: Annotated[str | None, Field(description="Only this channel.")] = None
    json_lines: Annotated[bool, Field(alias="json", description="One JSON object a line.")] = False


class PruneSettings(RegistrySettings):
    """Remove old versions. Those that a channel points at, or would roll back to, always stay.

    Also removes what interrupted publishes left behind, once it is a day old.

    Examples:
      python -m trainer prune --keep 5 --dry-run
      python -m trainer prune --keep 5
    """

    keep: Annotated[int, Field(ge=1, description="Keep so many of the newest versions.")]
    dry_run: Annotated[bool, Field(description="Say what would go, remove nothing.")] = False


class VerifySettings(RegistrySettings):
    """Check versions as a worker would: every hash, the golden set, on every TFLite runtime that is installed.

    Exit code 4 when one of them must not serve.

    Examples:
      python -m trainer verify                       # all
      python -m trainer verify --version stable
    """

    version: Annotated[str | None, Field(description="A version or a channel. Default: all of them.")] = None
