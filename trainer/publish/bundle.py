"""The files of a bundle, from the results of a training run.

Owns how the manifest is made, the version's content hash, the golden answers and the drift baseline. Writes nothing:
`registry` publishes what this returns, and `schemas.bundle` reads it back.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.bundle import MANIFEST_FILE, MODEL_FILE, REPORT_FILE, TABLE_FILE, table_bytes
from schemas.decision import CertaintyRule, MismatchRule
from schemas.drift import SCRIPT_BINS, histogram, script_counts
from schemas.encoding import EncoderSettings, Ids
from schemas.inference import Model, Scores
from schemas.label_decision import AnyDecision
from schemas.manifest import (
    LABELS_SCHEMA_VERSION,
    SCHEMA_VERSION,
    DriftBaseline,
    FileDigest,
    GoldenReview,
    Manifest,
)
from trainer.data.dataset import Dataset
from trainer.data.split import SPLIT
from trainer.evaluation.behaviour import Family
from trainer.evaluation.gate import Verdict
from trainer.evaluation.label_noise import LabelNoise
from trainer.evaluation.metrics import Evaluation
from trainer.evaluation.rules import compare_rules
from trainer.export.golden import GOLDEN_TEXTS
from trainer.export.parity import Parity
from trainer.network.across import LeftOut
from trainer.progress import Epoch
from trainer.publish.channel import Serving
from trainer.registry.registry import weights_file
from trainer.settings import TrainSettings, Variant, recorded
from trainer.text.vocabulary import Vocabulary

CONFIDENCE_EDGES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
LENGTH_EDGES = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]


@dataclass(frozen=True, slots=True)
class VariantTest:
    """One variant on the first `rows` test texts, one thread: ratings that differ from Keras, accuracy, speed."""

    variant: Variant
    rows: int
    changed: int
    accuracy: float
    reviews_per_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """The results of a training run: everything that the manifest and the report need."""

    settings: TrainSettings
    dataset: Dataset
    vocabulary: Vocabulary
    epochs: Sequence[Epoch]
    shares: tuple[float, float]  # weights of the deep and the wide logits in their sum
    parities: Sequence[Parity]  # of every variant with Keras
    parity: Parity  # of the variant that is published
    variant_tests: Sequence[VariantTest]  # every variant on the test side
    graph: bytes  # the TFLite file; `model` is the same, as it serves
    model: Model
    rows: Sequence[Ids]  # the test side encoded, `int32[n]` each
    evaluation: Evaluation  # of the served model on the test side; `baselines` are measured there too
    left_out: LeftOut | None  # the training side, scored with each group left out; None: there are no groups
    behaviour: Sequence[Family]  # the checks of what a reader expects; empty for other labels than 1 to 5 stars
    certainty: CertaintyRule  # fitted on the validation side, measured on the test side
    mismatch: MismatchRule | None  # fitted on the validation side, measured on the test side
    baselines: dict[str, dict[str, float]]
    serving: Serving  # the version that the new one was compared with
    replaces: str | None  # the version the channel pointed at when the gate compared; None: none
    verdict: Verdict | None  # of the gate; None: no channel is to move
    noise: LabelNoise | None  # what the labels allow; None of a label model
    doubts: Sequence[str]  # what a person should know of a model that passes
    weights: bytes  # the recurrent part's, for a warm start
    started_from: str | None  # the version whose weights the run started from, if any
    seconds: dict[str, float]  # of each phase so far
    now: datetime  # the time in the version's name

    @property
    def deciding(self) -> dict[str, bytes]:
        """The files that determine ratings."""
        return {MODEL_FILE: self.graph, TABLE_FILE: table_bytes(self.vocabulary.table)}

    @property
    def version(self) -> str:
        """The name of the version."""
        content = content_hash(self.deciding, self.vocabulary.settings, self.model.decision)
        return version_name(self.now, content)


def make(run: Run, report: str) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest and all files of the bundle, the manifest last: it holds the hashes of the others."""
    files = {**run.deciding, REPORT_FILE: report.encode()}
    lengths = np.array([len(ids) for ids in run.rows], dtype=np.int64)
    task = run.model.decision.task
    manifest = Manifest(
        schema_version=LABELS_SCHEMA_VERSION if task == "labels" else SCHEMA_VERSION,
        task=task,
        version=run.version,
        created_at=run.now.astimezone(UTC).isoformat(timespec="seconds"),
        encoder=run.vocabulary.settings,
        decision=run.model.decision,
        mismatch=run.mismatch,
        certainty=run.certainty,
        cell=run.settings.cell,
        variant=run.parity.variant,
        files={name: digest(content) for name, content in files.items()},
        data=run.dataset.fingerprint,
        metrics=rounded(run.evaluation.figures),
        baselines={name: rounded(figures) for name, figures in run.baselines.items()},
        golden=_golden_reviews(run.model, GOLDEN_TEXTS),
        baseline=drift_baseline(run.evaluation.scores, lengths, run.model.decision, run.dataset.test.texts),
        toolchain=toolchain(),
        training={
            "settings": recorded(run.settings),
            "split": SPLIT,
            "epochs": [rounded(asdict(epoch)) for epoch in run.epochs],
            "doubts": list(run.doubts),
            "shares": {"deep": run.shares[0], "wide": run.shares[1]},
            "variants": [
                {**rounded(asdict(parity), 9), **_test_fields(test)}
                for parity, test in zip(run.parities, run.variant_tests, strict=True)
            ],
            "label_noise": None if run.noise is None else rounded(asdict(run.noise)),
            "behaviour": {family.name: [family.passed, family.checks] for family in run.behaviour},
            "rules": {
                name: rounded(figures) for name, figures in compare_rules(run.evaluation, run.model.decision).items()
            },
            "classes": [rounded(label.to_fields()) for label in run.evaluation.classes],
            "seconds": run.seconds,
            "weights": {"file": weights_file(run.version), **digest(run.weights).model_dump()},
            "started_from": run.started_from,
            "gate": None if run.verdict is None else [asdict(row) for row in run.verdict.rows],
            "gate_against": run.serving.version,
        },
    )
    content: dict[str, Any] = manifest.model_dump(mode="json")
    return manifest, {**files, MANIFEST_FILE: json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"}


def rounded(figures: Mapping[str, Any], digits: int = 6) -> dict[str, Any]:
    """Return the mapping with its floats rounded to `digits` decimals."""
    return {name: round(value, digits) if isinstance(value, float) else value for name, value in figures.items()}


def content_hash(files: Mapping[str, bytes], encoder: EncoderSettings, decision: AnyDecision) -> str:
    """Return 8 hex digits over everything that determines a rating: graph, table, encoder, decision with its labels.

    Not over the time, the report or the figures: the same seed, data and machine give the same hash.
    """
    deciding = {
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in (MODEL_FILE, TABLE_FILE)},
        "encoder": encoder.model_dump(mode="json"),
        "decision": decision.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]


def version_name(now: datetime, content: str) -> str:
    """Return `<UTC time>-<content hash>`, so that versions sort by age."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{content}"


def digest(content: bytes) -> FileDigest:
    """Return the sha256 and size of a file."""
    return FileDigest(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _test_fields(test: VariantTest) -> dict[str, Any]:
    found = rounded(asdict(test))
    speed = {"reviews_per_s": found["reviews_per_s"]}
    return {f"test_{name}": found[name] for name in ("rows", "changed", "accuracy")} | speed


def _golden_reviews(model: Model, texts: Sequence[str]) -> list[GoldenReview]:
    scores = model.score(texts)
    stars = model.decision.stars_of(scores.choices)
    return [
        GoldenReview(
            text=text,
            ids=model.encoder.encode(text).tolist(),
            probabilities=[round(float(share), 6) for share in scores.probabilities[row]],
            rating=stars[row],
        )
        for row, text in enumerate(texts)
    ]


def drift_baseline(
    scores: Scores, lengths: npt.NDArray[np.int64], decision: AnyDecision, texts: Sequence[str] = ()
) -> DriftBaseline:
    """Return the distributions that a worker compares its stream with.

    From N held-out texts: their scores, their tokens (`int64[N]`) and, for the scripts they are written in, themselves.
    """
    return DriftBaseline(
        rating_shares=_shares(decision.counts(scores.choices)),
        confidence_edges=CONFIDENCE_EDGES,
        confidence_shares=_shares(histogram(scores.confidences, CONFIDENCE_EDGES)),
        length_edges=LENGTH_EDGES,
        length_shares=_shares(histogram(lengths, LENGTH_EDGES)),
        unknown_ratio=round(scores.unknown / max(scores.tokens, 1), 6),
        script_shares=dict(zip(SCRIPT_BINS, _shares(script_counts(texts)), strict=True)) if texts else {},
    )


def toolchain() -> dict[str, str]:
    """Return the versions of what made the file."""
    found = {name: installed(name) for name in ("keras", "numpy", "ai-edge-litert")}
    import tensorflow as tf  # its distribution has several names, so its metadata cannot be asked

    return {"python": platform.python_version(), "tensorflow": tf.__version__, **found}


def _shares(counts: npt.NDArray[np.int64]) -> list[float]:
    return [round(float(share), 6) for share in counts / max(int(counts.sum()), 1)]
