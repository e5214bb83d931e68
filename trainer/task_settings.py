"""The flags that say which rows are read, and what is learned from them: stars, or named labels.

Owns their names, and that they agree. `settings` inherits them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, model_validator
from typing_extensions import override

from schemas.input.fields import DEFAULT_PATHS, FieldPath, FieldPaths
from schemas.input.presets import field_paths
from schemas.manifest import Task
from trainer.file_settings import FormatSettings


class FileSettings(FormatSettings):
    """Which files, and what becomes of rows that cannot be used."""

    data: Annotated[
        list[Path], Field(min_length=1, description="CSV, TSV, JSON, JSONL or Parquet; repeat for more files.")
    ]
    on_bad_row: Annotated[Literal["skip", "error"], Field(description="Skip and report, or stop at the first.")] = (
        "skip"
    )
    max_bad_share: Annotated[float, Field(ge=0, le=1, description="Stop when a larger share of rows is bad.")] = 0.05
    group_field: Annotated[
        FieldPath,
        Field(
            validation_alias=AliasChoices("group_field", "group_column"),
            description="Column of what was reviewed: figures are by group, and the decision rule is chosen on groups "
            f"that were not learned. Default: the first of {DEFAULT_PATHS.app}.",
        ),
    ] = None

    @property
    @override
    def field_paths(self) -> FieldPaths:
        """Where the parts of a review are."""
        return field_paths(self.preset, text=self.text_field, score=self.score_field, app=self.group_field)

    @property
    @override
    def labels_paths(self) -> FieldPaths:
        """Where the text is, the names of its labels, and its group."""
        return replace(super().labels_paths, app=self.field_paths.app)


class TaskSettings(FileSettings):
    """What a model says of a text."""

    task: Annotated[
        Task, Field(description="stars: a rating a text. labels: any number of named labels (topics, emotions) a text.")
    ] = "stars"
    labels: list[str] = Field([], description="Scores or names allowed, others are bad rows. Default: all found.")
    min_label_rows: Annotated[
        int, Field(ge=1, description="A score with fewer rows is an error; with --task labels, a name is left out.")
    ] = 8

    @property
    def allowed(self) -> list[int] | list[str]:
        """The scores or names allowed; empty: any."""
        return [int(label) for label in self.labels] if self.task == "stars" else self.labels

    @property
    def label_paths(self) -> FieldPaths:
        """Where the text is, and its score or the names of its labels."""
        return self.field_paths if self.task == "stars" else self.labels_paths

    @model_validator(mode="after")
    def _labels_are_of_the_task(self) -> Self:
        try:
            self.allowed  # noqa: B018 - it raises for a word that is no number
        except ValueError:
            said = (
                ", ".join(self.labels).encode(errors="backslashreplace").decode()
            )  # pydantic fails on a lone surrogate
            raise ValueError(f"--labels {said}: takes whole numbers, or --task labels") from None
        if self.task == "stars" and (self.labels_field or self.label_columns):
            raise ValueError("--labels-field, --label-columns: need --task labels")
        if self.task == "labels" and self.score_field:
            raise ValueError("--score-field: --task labels has --labels-field instead, or --label-columns")
        return self
