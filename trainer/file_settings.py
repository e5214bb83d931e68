"""The flags that say how files and messages of reviews are read.

Owns their names. `settings`, `commands.registry_settings` and `collect.settings` inherit them.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from schemas.input.fields import DEFAULT_PATHS, FieldPath, FieldPaths
from schemas.input.presets import Preset, field_paths
from schemas.input.text_files import FileOptions


class Settings(BaseModel):
    """What all settings of the trainer have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class FieldSettings(Settings):
    """Where the columns of the files are."""

    preset: Annotated[Preset | None, Field(description="The columns of a known export.")] = None
    text_field: Annotated[
        FieldPath,
        Field(
            validation_alias=AliasChoices("text_field", "text_column"),
            description=f"Column of the text, or title+body. Default: the first of {DEFAULT_PATHS.text}.",
        ),
    ] = None
    score_field: Annotated[
        FieldPath,
        Field(
            validation_alias=AliasChoices("score_field", "score_column"),
            description=f"Column of the stars. Default: the first of {DEFAULT_PATHS.score}.",
        ),
    ] = None

    @property
    def field_paths(self) -> FieldPaths:
        """Where the parts of a review are."""
        return field_paths(self.preset, text=self.text_field, score=self.score_field)


class FormatSettings(FieldSettings):
    """How the files are read."""

    encoding: Annotated[str | None, Field(description="Such as cp1252. Default: UTF-8, or the byte order mark's.")] = (
        None
    )
    delimiter: Annotated[str | None, Field(description="Of a CSV. Default: the one with the most columns.")] = None

    labels_field: Annotated[
        FieldPath,
        Field(
            validation_alias=AliasChoices("labels_field", "labels_column"),
            description="--task labels: column of the labels' names, joined by a bar. Default: labels, or label.",
        ),
    ] = None
    label_columns: Annotated[
        list[str],
        Field(
            validation_alias=AliasChoices("label_columns", "label_column"),
            description="--task labels: columns with 1 where a text has the label, 0 where not; one a label.",
        ),
    ] = []

    @property
    def reading(self) -> dict[str, Any]:
        """The flags of this class by name, for settings that read the same files."""
        return self.model_dump(include=set(FormatSettings.model_fields))

    @property
    def labels_paths(self) -> FieldPaths:
        """Where the text is, and the names of its labels."""
        return field_paths(self.preset, text=self.text_field, score=self.labels_field or "labels, label")

    @property
    def file_options(self) -> FileOptions:
        """What the files do not say of themselves."""
        return FileOptions(self.encoding, self.delimiter)

    @model_validator(mode="after")
    def _format_is_known(self) -> Self:
        try:
            self.file_options  # noqa: B018 - it raises when there is no such encoding
        except ValueError as error:
            raise ValueError(f"--{error}") from error
        return self
