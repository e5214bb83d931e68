"""Labelled reviews for `evaluate`: the same reading and the same split as training, with a bundle's labels.

Owns which rows are judged. Never imports TensorFlow.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from schemas.manifest import Manifest
from trainer.data.dataset import Part, assign, read
from trainer.errors import DataError
from trainer.evaluation.metrics import Evaluation
from trainer.settings import DataSettings, EvaluateSettings

_SIDES = {"train": 0, "validation": 1, "test": 2}


def labelled(settings: EvaluateSettings, manifest: Manifest) -> Part:
    """Read the reviews to judge; a score that is none of the model's labels is a bad row.

    Raises:
        DataError: as training's reading, or no row is left.
    """
    reviews = read(
        DataSettings(
            data=settings.data,
            text_column=settings.text_column,
            score_column=settings.score_column,
            labels=manifest.decision.labels,
            on_bad_row=settings.on_bad_row,
            max_bad_share=settings.max_bad_share,
        )
    )
    rows = np.arange(len(reviews.texts))
    if settings.part != "all":
        trained = manifest.training["settings"]
        test_share = 0.0 if trained["test_data"] else trained["test_share"]
        sides = assign(reviews.groups, trained["seed"], trained["validation_share"], test_share)
        rows = np.flatnonzero(sides == _SIDES[settings.part])
    if not len(rows):
        raise DataError(f"{', '.join(path.name for path in settings.data)}: no reviews to judge")
    index = {label: at for at, label in enumerate(manifest.decision.labels)}
    targets = np.array([index[reviews.labels[row]] for row in rows], dtype=np.intp)
    return Part([reviews.texts[row] for row in rows], targets)


def as_json(version: str, evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON holds it."""
    return {
        "version": version,
        "reviews": len(evaluation.targets),
        "metrics": evaluation.figures,
        "classes": [asdict(label) for label in evaluation.classes],
        "confusion": evaluation.confusion.tolist(),
    }
