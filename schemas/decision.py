"""Logits -> calibrated probabilities -> stars: the rules that the trainer fits and the worker applies.

Owns the formulas. Never runs a graph; `inference` hands it logits. `label_decision` has those of a model of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = npt.NDArray[np.float32]
Choices = npt.NDArray[Any]  # `intp[N]`, index of the label chosen; of a label model `bool[N, K]`, which it gives


class Decision(BaseModel):
    """Calibration and costs; part of the manifest.

    Attributes:
        labels: what the K classes mean, ascending (stars 1..5, or 0/1).
        temperature: logits are divided by it before the softmax (Guo et al. 2017, "On Calibration of Modern
            Neural Networks"), fitted on validation.
        costs: K x K; `costs[j][k]` is the cost of choosing `labels[k]` when `labels[j]` is true. The label with the
            least expected cost is chosen (Elkan 2001): 0/1 costs give the most probable label, |j - k| the median.
        least_belief: a label whose probability is less than this share of the likeliest one's is never chosen.
        prior: probabilities of the labels of a text that cannot be read; empty in older bundles, which do not shrink.
        unknown_power: how fast beliefs shrink towards the prior with the share of words that the model does not know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Annotated[list[int], Field(min_length=2, max_length=100)]
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    costs: list[list[float]]
    least_belief: Annotated[float, Field(ge=0, le=1)] = 0.0
    prior: list[float] = []
    unknown_power: Annotated[float, Field(ge=0, le=100)] = 0.0

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        count = len(self.labels)
        if self.labels != sorted(set(self.labels)):
            raise ValueError(f"labels: {self.labels} must be ascending and distinct")
        if len(self.costs) != count or any(len(row) != count for row in self.costs):
            raise ValueError(f"costs: must be {count} x {count}, one row and one column a label")
        if len(self.prior) not in {0, count}:
            raise ValueError(f"prior: {len(self.prior)} probabilities for {count} labels")
        return self

    def probabilities(self, logits: Floats) -> Floats:
        """Return the calibrated softmax of `float32[N, K]` logits, `float32[N, K]`, rows summing to 1."""
        scaled = logits / np.float32(self.temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        np.exp(scaled, out=scaled)
        scaled /= scaled.sum(axis=1, keepdims=True)
        return scaled

    def shrunk(self, probabilities: Floats, unknown_shares: Floats) -> Floats:
        """Return the probabilities of `float32[N, K]` mixed with the prior, `float32[N, K]`.

        A text of which the share `u` of the words is unknown (`float32[N]`) keeps `(1 - u) ** unknown_power` of its own
        belief: all of it when every word is known, and none when no word is.
        """
        if not self.prior or not unknown_shares.any():
            return probabilities
        kept = ((1 - unknown_shares) ** np.float32(self.unknown_power)).astype(np.float32)
        kept[unknown_shares >= 1] = 0
        prior = np.asarray(self.prior, dtype=np.float32)
        mixed: Floats = kept[:, None] * probabilities + (1 - kept[:, None]) * prior
        return mixed

    def choices(self, probabilities: Floats) -> Choices:
        """Return the index of the label to choose for each row of `float32[N, K]`, `intp[N]`.

        It is the one with the least expected cost among those that `least_belief` allows.
        """
        expected = probabilities @ np.asarray(self.costs, dtype=np.float32)
        if self.least_belief:
            least = np.float32(self.least_belief) * probabilities.max(axis=1, keepdims=True)
            expected[probabilities < least] = np.inf
        choices: Choices = expected.argmin(axis=1)
        return choices

    def expected_ratings(self, probabilities: Floats) -> Floats:
        """Return the probability-weighted mean label of each row of `float32[N, K]`, `float32[N]`."""
        return probabilities @ np.asarray(self.labels, dtype=np.float32)

    @property
    def task(self) -> Literal["stars"]:
        """What the model decides on."""
        return "stars"

    def confidences(self, probabilities: Floats, choices: Choices) -> Floats:
        """Return the probability of the label chosen in each row, `float32[N]`."""
        found: Floats = probabilities[np.arange(len(choices)), choices]
        return found

    def differ(self, choices: Choices, others: Choices) -> npt.NDArray[np.bool_]:
        """Return in which rows two decisions have other stars, `bool[N]`."""
        found: npt.NDArray[np.bool_] = choices != others
        return found

    def changed(self, before: Floats, after: Floats, tie: float) -> npt.NDArray[np.bool_]:
        """Return the rows with other stars after than before, `bool[N]`; not where two costs are within `tie`.

        Nor where a probability is within `tie` of the least belief that allows its label.
        """
        costs = np.sort(before @ np.asarray(self.costs, dtype=np.float32), axis=1)
        limit = self.least_belief * before.max(axis=1, keepdims=True)
        clear = (costs[:, 1] - costs[:, 0] > tie) & (np.abs(before - limit).min(axis=1) > tie * bool(self.least_belief))
        found: npt.NDArray[np.bool_] = (self.choices(before) != self.choices(after)) & clear
        return found

    def counts(self, choices: Choices) -> npt.NDArray[np.int64]:
        """Count the labels given, `int64[K]`."""
        return np.bincount(choices, minlength=len(self.labels))

    def aim(self, probabilities: Floats, choice: Any) -> int:
        """Return the label that an explanation is about: the one chosen."""
        del probabilities
        return int(choice)

    def worth(self, probabilities: Floats, aim: int) -> Floats:
        """Return what a word's effect is measured in, `float32[N]`: the expected stars."""
        del aim
        return self.expected_ratings(probabilities)

    def rise(self, probabilities: npt.NDArray[np.float64], aim: int) -> npt.NDArray[np.float64]:
        """Return by how much `worth` rises with each logit, `float64[K]`, at these probabilities."""
        del aim
        labels = np.asarray(self.labels, dtype=np.float64)
        found: npt.NDArray[np.float64] = probabilities * (labels - probabilities @ labels) / self.temperature
        return found

    def choices_of(self, stars: Sequence[int | None], named: Sequence[Mapping[str, float] | None]) -> Choices:
        """Return the choices that ratings came from, `intp[N]`: the way back from `stars_of`."""
        del named
        found: Choices = np.searchsorted(self.labels, np.array(stars, dtype=np.int64))
        return found

    def stars_of(self, choices: Choices) -> list[int]:
        """Return the label chosen in each row."""
        return [self.labels[choice] for choice in choices.tolist()]

    def named(self, probabilities: Floats, choices: Choices) -> repeat[None]:
        """Return nothing for each row: stars have no names."""
        del probabilities
        return repeat(None, len(choices))


class CertaintyRule(BaseModel):
    """From which confidence on a rating counts as certain; part of the manifest.

    Attributes:
        accuracy: the accuracy that the certain ratings are to have.
        min_confidence: the least confidence of a certain rating: the lowest with which the validation side had it.
        held_out_accuracy: the accuracy of the certain ratings of the held-out test; 0 when there is none.
        held_out_share: the share of the held-out test that is certain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: Annotated[float, Field(gt=0, le=1)]
    min_confidence: Annotated[float, Field(ge=0, le=1)]
    held_out_accuracy: Annotated[float, Field(ge=0, le=1)]
    held_out_share: Annotated[float, Field(ge=0, le=1)]


class MismatchRule(BaseModel):
    """When an author's stars contradict the text; part of the manifest.

    The stars are compared with the calibrated distribution by its tail: how probable are stars as low, or as high, as
    these? Tails, not the stars' own probability, because labels that few authors give are improbable for any text. The
    threshold is the quantile that conformal prediction takes (Vovk et al. 2005), so of texts like those it was fitted
    on at most `false_alarm_rate` are flagged; those that really are contradictions are among them.

    Attributes:
        false_alarm_rate: that share.
        threshold: stars whose tail is smaller contradict the text; 0 when there were too few texts for the share.
        held_out_share: the share of the held-out test that was flagged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)]
    threshold: Annotated[float, Field(ge=0, le=1)]
    held_out_share: Annotated[float, Field(ge=0, le=1)]

    def contradicts(self, probabilities: Floats, stars: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Return which authors' stars contradict their texts, `bool[N]`.

        Args:
            probabilities: calibrated, `float32[N, K]`.
            stars: index of each author's label, `intp[N]`.
        """
        found: npt.NDArray[np.bool_] = tails(probabilities, stars) < self.threshold
        return found


def tails(probabilities: Floats, stars: npt.NDArray[np.intp]) -> Floats:
    """Return how probable labels as low as `stars`, or as high, are: the smaller of the two, `float32[N]`."""
    rows = np.arange(len(stars))
    at_most = probabilities.cumsum(axis=1)[rows, stars]
    at_least = probabilities[:, ::-1].cumsum(axis=1)[rows, probabilities.shape[1] - 1 - stars]
    smaller: Floats = np.minimum(at_most, at_least)
    return smaller


def zero_one_costs(count: int) -> list[list[float]]:
    """Return the K x K costs under which the most probable label wins."""
    return [[float(true != said) for said in range(count)] for true in range(count)]
