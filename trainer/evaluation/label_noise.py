"""How often authors' stars contradict their own text: what no model can reach.

Owns two estimates, so that nobody chases the impossible. Repeated texts: authors who wrote the same words gave
different stars, and one rating for each text can be right for the most common ones only. Confident disagreement: an
author's stars differ by two or more from stars that the model believes in as much as it does on average where it is
right (the count of confident learning, Northcutt et al. 2021); the model's own confident mistakes are in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trainer.data.dataset import Part
from trainer.data.split import fold
from trainer.evaluation.metrics import Evaluation

FAR = 2  # stars; a neighbouring star is a matter of taste


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """What the labels of a data set allow."""

    repeated_texts: int  # different texts that several reviews have
    repeated_reviews: int  # reviews of those texts
    best_accuracy: float  # of one rating for each of those texts; 1 without such texts
    contradicting_share: float  # of the held-out reviews; 0 for two labels


def label_noise(sides: Iterable[Part], evaluation: Evaluation) -> LabelNoise:
    """Estimate the noise of the labels from all reviews and the held-out evaluation."""
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for part in sides:
        for text, target in zip(part.texts, part.targets.tolist(), strict=True):
            seen[fold(text)][target] += 1
    repeated = [counts for counts in seen.values() if counts.total() > 1]
    reviews = sum(counts.total() for counts in repeated)
    right = sum(max(counts.values()) for counts in repeated)
    return LabelNoise(len(repeated), reviews, right / reviews if reviews else 1.0, _contradicting(evaluation))


def _contradicting(evaluation: Evaluation) -> float:
    shares, targets = evaluation.scores.probabilities, evaluation.targets
    likeliest, rows = shares.argmax(axis=1), np.arange(len(targets))
    thresholds = np.full(shares.shape[1], np.inf)
    for label in range(shares.shape[1]):
        right = (targets == label) & (likeliest == label)
        if right.any():
            thresholds[label] = shares[right, label].mean()
    sure = shares[rows, likeliest] >= thresholds[likeliest]
    return float((sure & (np.abs(likeliest - targets) >= FAR)).mean()) if len(rows) else 0.0
