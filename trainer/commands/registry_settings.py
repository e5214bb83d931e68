"""The flags of the commands for a registry.

Owns their names, limits and help. `commands.registry` acts on them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from schemas.channels import CANDIDATE, STABLE
from trainer.file_settings import FormatSettings
from trainer.settings import (
    EvaluateSettings,
    Force,
    GateSettings,
    Message,
    NewChannel,
    Registry,
    Version,
)

Channel = Annotated[str, Field(description="The channel to move.")]


class RegistrySettings(BaseModel):
    """Where the registry is."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    registry: Registry = "models"


class ListSettings(RegistrySettings):
    """List the versions of a registry, newest first, with their channels and figures.

    Examples:
      starstream-trainer list --registry models/
      starstream-trainer list --registry s3://bucket/models     # AWS_* variables
      starstream-trainer list --json | jq '.[0].accuracy'
    """

    as_json: Annotated[bool, Field(validation_alias=AliasChoices("json"), description="Print one JSON array.")] = False


class ShowSettings(RegistrySettings):
    """Show the manifest of a version, after checking the hash of every file.

    Examples:
      starstream-trainer show                      # the version of `stable`
      starstream-trainer show --json | jq .metrics
    """

    version: Version = STABLE
    raw: Annotated[
        bool, Field(validation_alias=AliasChoices("json", "raw"), description="Print the manifest as JSON.")
    ] = False


class PublishSettings(RegistrySettings):
    """Copy a version from another registry into this one, after checking that it can serve. No channel moves.

    Examples:
      starstream-trainer publish candidate --source models/ --registry s3://bucket/m
      starstream-trainer promote 20260101T120000Z-0a1b2c3d --registry s3://bucket/m
    """

    source: Annotated[str, Field(description="The registry to copy from.")]
    version: Annotated[str, Field(description="A version or a channel of the source.")]


class StarterSettings(RegistrySettings):
    """Publish the starter, the model that comes with this package, to serve and to start from.

    The channel moves only when it points at no version yet. Needs no TensorFlow.

    Examples:
      starstream-trainer starter --registry models/
      starstream-trainer train labelled.csv --warm-start stable --channel candidate
      starstream-trainer starter --card       # its data, figures and limits
    """

    channel: Channel = STABLE
    new_channel: NewChannel = False
    card: Annotated[bool, Field(description="Print its model card, and publish nothing.")] = False


class PromoteSettings(GateSettings, FormatSettings, RegistrySettings):
    """Point a channel at a version, when the gate passes on the reviews of --data.

    Without --data the verdict of the version's own training counts, if that compared it with the version the channel
    points at now; otherwise only the labels are compared. Only --force moves a channel against the gate, or to a
    version with another set of stars.

    Examples:
      starstream-trainer promote --message "shadow agrees on 98%"
      starstream-trainer promote candidate --data held_out.csv
      starstream-trainer promote 20260101T120000Z-0a1b2c3d --channel candidate
    """

    version: Version = CANDIDATE
    channel: Channel = STABLE
    new_channel: NewChannel = False
    message: Message = ""
    force: Force = False
    data: Annotated[list[Path], Field(description="Labelled reviews that neither version was trained on.")] = []

    def evaluation(self) -> EvaluateSettings:
        """Return how the reviews are read."""
        return EvaluateSettings(data=self.data, **self.reading)


class RollbackSettings(RegistrySettings):
    """Point a channel back at the version before. A second rollback goes back one more version.

    Examples:
      starstream-trainer rollback --message "too generous on French"
      starstream-trainer rollback --channel candidate
    """

    channel: Channel = STABLE
    message: Message = ""


class HistorySettings(RegistrySettings):
    """Show who moved which channel, when and why, newest first.

    Examples:
      starstream-trainer history
      starstream-trainer history --channel stable --json | jq .
    """

    channel: Annotated[str | None, Field(description="Only this channel.")] = None
    json_lines: Annotated[bool, Field(alias="json", description="One JSON object a line.")] = False


class PruneSettings(RegistrySettings):
    """Remove old versions, except those that a channel points at or would roll back to.

    Also removes the files of interrupted publishes, once they are a day old.

    Examples:
      starstream-trainer prune --keep 5 --dry-run
      starstream-trainer prune --keep 5
    """

    keep: Annotated[int, Field(ge=1, description="How many of the newest versions to keep.")]
    dry_run: Annotated[bool, Field(description="Print what would be removed, and remove nothing.")] = False


class VerifySettings(RegistrySettings):
    """Check versions as a worker does: every hash, and the golden set on every installed TFLite runtime.

    The exit code is 3 when one of them must not serve.

    Examples:
      starstream-trainer verify                       # all
      starstream-trainer verify stable
    """

    version: Annotated[str | None, Field(description="A version or a channel. Default: all of them.")] = None
