"""Losses, class weights and resampling: small functions, one for each name in the settings.

Owns what training minimises and how rare labels count. A new one is a function here and a name in
`settings.FitSettings`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from trainer.data.targets import Targets
from trainer.settings import FitSettings

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Loss = Callable[[Any, Any], Any]


def cross_entropy(targets: Any, logits: Any) -> Any:
    """Return the cross-entropy of each row: `float32[B, K]` one-hot targets and logits -> `float32[B]`."""
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def ranked_probability(targets: Any, logits: Any) -> Any:
    """Return the ranked probability score (Epstein 1969): squared distance of the cumulative distributions.

    Unlike cross-entropy it depends on the distance in stars. `float32[B, K]` twice -> `float32[B]`.
    """
    gap = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1) - ops.cumsum(targets, axis=-1)
    return ops.sum(ops.square(gap), axis=-1)


def ordinal(targets: Any, logits: Any) -> Any:
    """Return cross-entropy plus the ranked probability score, `float32[B]`."""
    return cross_entropy(targets, logits) + ranked_probability(targets, logits)


def binary(targets: Any, logits: Any) -> Any:
    """Return the cross-entropy of independent labels, summed: `float32[B, K]` of 0 and 1, logits -> `float32[B]`."""
    return ops.sum(ops.softplus(logits) - targets * logits, axis=-1)


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "ordinal": ordinal}


def loss_of(settings: FitSettings, targets: Targets) -> Loss:
    """Return the loss of the settings; a label model has only one."""
    return binary if targets.ndim == 2 else LOSSES[settings.loss]


def row_weights(settings: FitSettings, targets: Targets, count: int) -> Floats:
    """Return the weight of each row, `float32[N]`."""
    if targets.ndim == 2:
        return np.ones(len(targets), dtype=np.float32)
    return class_weights(settings, targets, count)[targets]


def class_weights(settings: FitSettings, targets: Indices, count: int) -> Floats:
    """Return the weight of each class, `float32[K]`, 1 on average over the rows.

    `weights`: the inverse square root of the share, between none and balanced, which costs too much accuracy.
    """
    if settings.imbalance != "weights":
        return np.ones(count, dtype=np.float32)
    shares = np.bincount(targets, minlength=count) / len(targets)
    weights = 1 / np.sqrt(np.maximum(shares, 1 / len(targets)))
    weights /= (weights * shares).sum()
    return weights.astype(np.float32)


def drawn_rows(settings: FitSettings, targets: Targets, random: np.random.Generator) -> Indices:
    """Return the rows of one epoch, `intp[N]`, in no particular order.

    `resample`: the number of rows of each label is the geometric mean of its count and the largest count.
    """
    rows = np.arange(len(targets))
    if settings.imbalance != "resample" or targets.ndim == 2:
        return rows
    counts = np.bincount(targets)
    more = [
        random.choice(np.flatnonzero(targets == label), round((count * counts.max()) ** 0.5) - count)
        for label, count in enumerate(counts)
        if 0 < count < counts.max()
    ]
    return np.concatenate([rows, *more])
