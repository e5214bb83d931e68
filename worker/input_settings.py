"""The settings of the input: the form of the values, and where the parts of a review are in them.

Owns their names. `worker.settings` inherits them.
"""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from schemas.input.fields import FieldPath, FieldPaths
from schemas.input.presets import Preset, field_paths
from schemas.input.wire_format import InputFormat
from schemas.review import DEFAULT_MAX_TEXT_CHARS


class InputSettings(BaseSettings, defer_build=True):
    """What an operator can set about the records that are read."""

    input_format: InputFormat = Field(
        "auto",
        description="auto: JSON where it is JSON, else text; avro, json_schema: a schema registry's wire format",
    )
    input_preset: Preset | None = Field(None, description="where the fields are in a known export or envelope")
    text_field: FieldPath = Field(
        None, description="where the text is: name, path.to.it, several separated by commas, title+body"
    )
    id_field: FieldPath = Field(None, description="likewise the review's id")
    app_field: FieldPath = Field(None, description="likewise what was reviewed")
    score_field: FieldPath = Field(None, description="likewise the author's own stars")
    time_field: FieldPath = Field(None, description="likewise when it was written")
    version_field: FieldPath = Field(None, description="likewise the version of what was reviewed")
    max_text_chars: int = Field(
        DEFAULT_MAX_TEXT_CHARS, ge=1, le=1_000_000, description="longer texts go to the dead-letter topic"
    )

    @property
    def field_paths(self) -> FieldPaths:
        """Where the parts of a review are."""
        return field_paths(
            self.input_preset,
            text=self.text_field,
            id=self.id_field,
            app=self.app_field,
            score=self.score_field,
            time=self.time_field,
            version=self.version_field,
        )
