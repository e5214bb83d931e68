"""What the outputs of a model mean, and what they should be for each text: stars, or named labels.

Owns the two forms of targets. Every room that learns from them or compares with them tells the two apart by these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import TypeIs

from trainer.data.rows import BAR, Label

Targets = npt.NDArray[Any]  # `intp[N]`, index of each text's stars; or `bool[N, K]`, which of the labels it has
Names = list[int] | list[str]  # what the K outputs mean: stars, ascending, or names


def is_named(labels: Names) -> TypeIs[list[str]]:
    """Whether the labels are names, of which a text has any number, and not stars."""
    return isinstance(labels[0], str)


def values_of(label: Label) -> tuple[int | str, ...]:
    """Return the stars or the names that a row has."""
    return label if isinstance(label, tuple) else (label,)


def label_counts(labels: Iterable[Label]) -> Counter[int | str]:
    """Count the rows that have each star or name."""
    return Counter(value for label in labels for value in values_of(label))


def class_shares(targets: Targets, count: int) -> npt.NDArray[np.float32]:
    """Return the share of the texts that have each of `count` labels, `float32[K]`."""
    if targets.ndim == 2:
        return targets.mean(axis=0, dtype=np.float32)  # type: ignore[no-any-return]
    return (np.bincount(targets, minlength=count) / max(len(targets), 1)).astype(np.float32)


def matrix(targets: Targets, count: int) -> npt.NDArray[np.float32]:
    """Return what the model's outputs should be, `float32[N, K]` of 0 and 1: one 1 in a row for stars."""
    if targets.ndim == 2:
        return targets.astype(np.float32)
    return np.eye(count, dtype=np.float32)[targets]


def said(targets: Targets, labels: Names) -> list[int | str]:
    """Return targets, or a label model's decisions, as a cell of a file has them: stars, or names joined by a bar."""
    if targets.ndim == 1:
        return [labels[target] for target in targets.tolist()]
    return [BAR.join(str(labels[at]) for at in np.flatnonzero(row)) for row in targets]
