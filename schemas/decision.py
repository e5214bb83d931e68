"""Logits -> calibrated probabilities -> one label: the decision rule the trainer fits and the worker applies.

Owns the formulas. Never runs a graph; `inference` hands it logits.
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = npt.NDArray[np.float32]


class Decision(BaseModel):
    """Calibration and costs; part of the manifest.

    Attributes:
        labels: what the K classes mean, ascending (stars 1..5, or 0/1).
        temperature: logits are divided by it before the softmax (Guo et al. 2017, "On Calibration of Modern
            Neural Networks"), fitted on validation.
        costs: K x K; `costs[j][k]` is the cost of choosing `labels[k]` when `labels[j]` is true. The label with the
            least expected cost is chosen (Elkan 2001): 0/1 costs give the most probable label, |j - k| the median.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Annotated[list[int], Field(min_length=2, max_length=100)]
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    costs: list[list[float]]

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        count = len(self.labels)
        if self.labels != sorted(set(self.labels)):
            raise ValueError(f"labels: {self.labels} must be ascending and distinct")
        if len(self.costs) != count or any(len(row) != count for row in self.costs):
            raise ValueError(f"costs: must be {count} x {count}, one row and one column a label")
        return self

    def probabilities(self, logits: Floats) -> Floats:
        """Return the calibrated softmax of `float32[N, K]` logits, `float32[N, K]`, rows summing to 1."""
        scaled = logits / np.float32(self.temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum(axis=1, keepdims=True)
        return scaled

    def choices(self, probabilities: Floats) -> npt.NDArray[np.intp]:
        """Return the index of the label with the least expected cost for each row of `float32[N, K]`, `intp[N]`."""
        expected = probabilities @ np.asarray(self.costs, dtype=np.float32)
        choices: npt.NDArray[np.intp] = expected.argmin(axis=1)
        return choices

    def expected_ratings(self, probabilities: Floats) -> Floats:
        """Return the probability-weighted mean label of each row of `float32[N, K]`, `float32[N]`."""
        return probabilities @ np.asarray(self.labels, dtype=np.float32)


def zero_one_costs(count: int) -> list[list[float]]:
    """Return the K x K costs under which the most probable label wins."""
    return [[float(true != said) for said in range(count)] for true in range(count)]
