"""Labelled reviews for `evaluate`: read and split as in training, with a bundle's labels.

Owns which rows are evaluated.
"""

from __future__ import annotations

import numpy as np

from schemas.manifest import Manifest
from trainer.data.dataset import Part, part_of, read
from trainer.data.split import SPLIT, TEST, TRAIN, VALIDATION, assign
from trainer.errors import DataError
from trainer.settings import DataSettings, EvaluateSettings

_SIDES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def labelled(settings: EvaluateSettings, manifest: Manifest) -> Part:
    """Read the reviews to evaluate; a score that is not one of the model's labels is a bad row.

    Raises:
        DataError: as `dataset.read`, or no row is left.
    """
    reviews = read(
        DataSettings(
            **settings.reading,
            group_field=settings.group_field,
            data=settings.data,
            task=manifest.task,
            labels=[str(label) for label in manifest.decision.labels],
            on_bad_row=settings.on_bad_row,
            max_bad_share=settings.max_bad_share,
        )
    )
    rows = np.arange(len(reviews.texts))
    if settings.part != "all":
        trained = manifest.training["settings"]
        test_share = 0.0 if trained["test_data"] else trained["test_share"]
        by_label = reviews.labels if manifest.training.get("split") == SPLIT else None
        sides = assign(reviews.folds, trained["seed"], trained["validation_share"], test_share, by_label)
        rows = np.flatnonzero(sides == _SIDES[settings.part])
    if not len(rows):
        raise DataError(f"{', '.join(path.name for path in settings.data)}: no reviews to evaluate")
    return part_of(reviews, manifest.decision.labels, rows)
