"""The manifest: the description inside a bundle.

Owns the fields of `manifest.json` and their version. Never touches files; `bundle` does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from schemas.decision import CertaintyRule, Decision, MismatchRule
from schemas.encoding import EncoderSettings
from schemas.label_decision import LabelDecision

SCHEMA_VERSION = 1
# Of a label model, so that a worker of an older release says that it cannot read it, and does not name a field.
LABELS_SCHEMA_VERSION = 2
READ_VERSIONS = (SCHEMA_VERSION, LABELS_SCHEMA_VERSION)
Task = Literal["stars", "labels"]
_ReadDecision = Annotated[
    Annotated[Decision, Tag("stars")] | Annotated[LabelDecision, Tag("labels")],
    Discriminator(lambda found: "labels" if _has_thresholds(found) else "stars"),
]


def _has_thresholds(found: Any) -> bool:
    return "thresholds" in found if isinstance(found, dict) else isinstance(found, LabelDecision)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class FileDigest(_Part):
    """A file of the bundle."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class GoldenReview(_Part):
    """A hand-written text with the ids and probabilities that the model must give it before a bundle serves."""

    text: str
    ids: list[int]
    probabilities: list[float]
    rating: int | None  # of a label model None


class DriftBaseline(_Part):
    """Statistics of the held-out texts under this model; the worker compares its stream with them.

    Histograms are shares that sum to 1; `*_edges` are the upper edges of all but the last bin. `script_shares` are by
    the names of `schemas.drift`; an older bundle has none, and the scripts of its reviews are not compared.
    """

    rating_shares: list[float]  # of a label model one more, of texts without a label
    confidence_edges: list[float]
    confidence_shares: list[float]
    length_edges: list[float]
    length_shares: list[float]
    unknown_ratio: float
    script_shares: dict[str, float] = {}


class DataFingerprint(_Part):
    """What the model was trained on."""

    files: dict[str, str]  # base name -> sha256
    rows: int
    train_rows: int
    validation_rows: int
    test_rows: int
    duplicate_rows: int
    label_counts: dict[str, int]


class Manifest(_Part):
    """`manifest.json`. A reader refuses a `schema_version` it does not know."""

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    version: Annotated[str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]
    created_at: str
    encoder: EncoderSettings
    # Left out for stars, which older workers read.
    task: Annotated[Task, Field(exclude_if=lambda task: task == "stars")] = "stars"
    decision: _ReadDecision
    mismatch: MismatchRule | None = None  # an older bundle has none, and flags nothing
    certainty: CertaintyRule | None = None  # an older bundle has none: confidence alone makes nothing uncertain
    cell: Literal["gru", "lstm"]
    variant: Literal["float32", "float16", "int8"]
    files: dict[str, FileDigest]
    data: DataFingerprint
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]] = Field({}, validation_alias=AliasChoices("baselines", "floors"))
    golden: Annotated[list[GoldenReview], Field(min_length=1)]
    baseline: DriftBaseline
    toolchain: dict[str, str]
    training: dict[str, Any]

    @model_validator(mode="after")
    def _is_of_its_task(self) -> Self:
        version = LABELS_SCHEMA_VERSION if self.task == "labels" else SCHEMA_VERSION
        if self.task != self.decision.task or self.schema_version != version:
            raise ValueError(f"task: {self.task} needs a decision of {self.task}, and schema_version {version}")
        return self

    def least_confidence(self, asked: float | None) -> float:
        """Return the confidence under which a rating is uncertain: the one asked for, else the bundle's own."""
        if asked is not None:
            return asked
        return self.certainty.min_confidence if self.certainty else 0.0
