"""Logits -> calibrated probabilities -> any number of labels: the rules of a label model.

Owns the formulas, as `decision` does for stars; the two have the same methods. Each label has a probability of its own,
so a text can have several labels, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.decision import Choices, Decision, Floats

Bools = npt.NDArray[np.bool_]
LABEL_PATTERN: Final = r'^[^\x00-\x20:,|"\\\x7f]([^\x00-\x1f:,|"\\\x7f]{0,62}[^\x00-\x20:,|"\\\x7f])?$'
# A colon, a comma or a bar would end the name where ratings are stored or trained on.
LabelName = Annotated[str, Field(pattern=LABEL_PATTERN)]
MOST_LABELS: Final = 100
_SMALLEST: Final = 1e-7  # of a probability, because the logarithm of 0 is infinite


class LabelDecision(BaseModel):
    """Calibration and thresholds; part of a label model's manifest.

    Attributes:
        labels: the names of the K outputs.
        temperature: logits are divided by it before the sigmoid, fitted on validation.
        thresholds: K; a text gets each label whose probability is at least its threshold.
        dependence: the probability that the whole set is right is what it would be for independent labels, to this
            power. Labels that exclude each other (joy, anger) are not independent: a text that has one lacks others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Annotated[list[LabelName], Field(min_length=1, max_length=MOST_LABELS)]
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    thresholds: list[Annotated[float, Field(gt=0, lt=1)]]
    dependence: Annotated[float, Field(gt=0, le=10)] = 1.0

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: {self.labels} must be distinct")
        if len(self.thresholds) != len(self.labels):
            raise ValueError(f"thresholds: must be {len(self.labels)}, one a label")
        return self

    @property
    def task(self) -> Literal["labels"]:
        """What the model decides on."""
        return "labels"

    def probabilities(self, logits: Floats) -> Floats:
        """Return each label's calibrated probability, `float32[N, K]` logits -> `float32[N, K]`."""
        scaled = logits / np.float32(self.temperature)
        shares: Floats = np.exp(-np.logaddexp(np.float32(0), -scaled))
        return shares

    def shrunk(self, probabilities: Floats, unknown_shares: Floats) -> Floats:
        """Return the probabilities as they are: unknown words make a name no likelier than it is."""
        del unknown_shares
        return probabilities

    def choices(self, probabilities: Floats) -> Choices:
        """Return which labels each row of `float32[N, K]` gets, `bool[N, K]`."""
        found: Choices = probabilities >= np.asarray(self.thresholds, dtype=np.float32)
        return found

    def confidences(self, probabilities: Floats, choices: Choices) -> Floats:
        """Return the probability that a row's whole set of labels is right, `float32[N]`."""
        right = np.where(choices, probabilities, 1 - probabilities)
        logs = np.log(np.maximum(right, np.float32(_SMALLEST))).sum(axis=1)
        found: Floats = np.exp(np.float32(self.dependence) * logs)
        return found

    def expected_ratings(self, probabilities: Floats) -> Floats | None:
        """Return None: names have no mean."""
        del probabilities
        return None

    def differ(self, choices: Choices, others: Choices) -> Bools:
        """Return in which rows two decisions have other labels, `bool[N]`."""
        found: Bools = (choices != others).any(axis=1)
        return found

    def changed(self, before: Floats, after: Floats, tie: float) -> Bools:
        """Return the rows with other labels after than before, `bool[N]`; not where a threshold is within `tie`."""
        clear = np.abs(before - np.asarray(self.thresholds, dtype=np.float32)) > tie
        found: Bools = ((self.choices(before) != self.choices(after)) & clear).any(axis=1)
        return found

    def counts(self, choices: Choices) -> npt.NDArray[np.int64]:
        """Count the labels given, `int64[K + 1]`; the last is of texts without any."""
        return np.append(choices.sum(axis=0), (~choices.any(axis=1)).sum()).astype(np.int64)

    def aim(self, probabilities: Floats, choice: Choices) -> int:
        """Return the label that an explanation is about: the likeliest given, else the likeliest, of one row `[K]`."""
        return int(np.where(choice, probabilities + 1, probabilities).argmax())

    def worth(self, probabilities: Floats, aim: int) -> Floats:
        """Return what a word's effect is measured in, `float32[N]`: the probability of the label `aim`."""
        found: Floats = probabilities[:, aim]
        return found

    def rise(self, probabilities: npt.NDArray[np.float64], aim: int) -> npt.NDArray[np.float64]:
        """Return by how much `worth` rises with each logit, `float64[K]`, at these probabilities."""
        share = probabilities[aim]
        found = np.zeros(len(probabilities))
        found[aim] = share * (1 - share) / self.temperature
        return found

    def choices_of(self, stars: Sequence[int | None], named: Sequence[Mapping[str, float] | None]) -> Choices:
        """Return the choices that ratings came from, `bool[N, K]`: the way back from `named`."""
        del stars
        found: Choices = np.array([[name in (given or {}) for name in self.labels] for given in named], dtype=np.bool_)
        return found.reshape(len(named), len(self.labels))

    def stars_of(self, choices: Choices) -> list[None]:
        """Return the rating of each row: a label model gives none."""
        return [None] * len(choices)

    def named(self, probabilities: Floats, choices: Choices) -> list[dict[str, float]]:
        """Return the labels of each row with their probabilities, the likeliest first."""
        found: list[dict[str, float]] = []
        shares = probabilities.astype(np.float64).round(6)
        for row, chosen in zip(shares, choices, strict=True):
            at = np.flatnonzero(chosen)
            at = at[np.argsort(-row[at], kind="stable")]
            found.append({self.labels[number]: float(row[number]) for number in at})
        return found


AnyDecision = Decision | LabelDecision
