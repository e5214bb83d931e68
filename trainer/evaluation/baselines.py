"""The baselines: simple models on the same split, fitted in the same run.

Owns the models that a network must beat to be worth serving: always the most common label, and logistic regression on
TF-IDF of words and pairs of words, plain and class-balanced. Of a label model one regression a label, at 0.5 and with
thresholds fitted as the model's own. They learn from the training side and are measured on the test side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.decision import Decision
from schemas.inference import Scores
from trainer.data.dataset import Dataset, Part
from trainer.data.targets import class_shares
from trainer.evaluation.metrics import all_figures, all_label_figures
from trainer.evaluation.thresholds import fit_thresholds, plain_decision

Floats = npt.NDArray[np.float32]

MAJORITY = "majority"
PLAIN = "tfidf_logistic"
BALANCED = "tfidf_logistic_balanced"
WITH_THRESHOLDS = "tfidf_logistic_thresholds"  # of a label model instead: a threshold a label, fitted on validation
BASELINES = 3


def fit_baselines(dataset: Dataset, advance: Callable[[], None] = lambda: None) -> dict[str, dict[str, float]]:
    """Return the figures of each baseline on the test side; calls `advance` after each."""
    shares = class_shares(dataset.train.targets, len(dataset.labels))
    found = {MAJORITY: _figures(np.tile(shares, (len(dataset.test), 1)), dataset)}
    advance()
    vectorizer = _tfidf()
    train = vectorizer.fit_transform(dataset.train.texts)
    test = vectorizer.transform(dataset.test.texts)
    if dataset.train.targets.ndim == 2:
        validation = vectorizer.transform(dataset.validation.texts)
        models = [_regression().fit(train, true) for true in dataset.train.targets.T]
        held_out, said = (
            np.stack([model.predict_proba(texts)[:, 1] for model in models], axis=1).astype(np.float32)
            for texts in (validation, test)
        )
        found[PLAIN] = _figures(said, dataset)
        advance()
        found[WITH_THRESHOLDS] = _figures(said, dataset, fit_thresholds(held_out, dataset.validation.targets))
        advance()
        return found
    for name, class_weight in ((PLAIN, None), (BALANCED, "balanced")):
        classifier = _regression(class_weight).fit(train, dataset.train.targets)
        found[name] = _figures(classifier.predict_proba(test).astype(np.float32), dataset)
        advance()
    return found


def tfidf_probabilities(train: Part, texts: Sequence[str]) -> Floats:
    """Return what the plain baseline, fitted on one side of stars, says of N other texts: `float32[N, K]`."""
    vectorizer = _tfidf()
    classifier = _regression().fit(vectorizer.fit_transform(train.texts), train.targets)
    found: Floats = classifier.predict_proba(vectorizer.transform(texts)).astype(np.float32)
    return found


def rival(baselines: Mapping[str, Mapping[str, float]]) -> Mapping[str, float] | None:
    """Return the figures of the baseline that a model is compared with in a sentence; None when none was fitted."""
    return baselines.get(WITH_THRESHOLDS, baselines.get(PLAIN))


def _tfidf() -> Any:
    # Sublinear counts, at least two texts a feature, and C = 4 below: the best of a small grid on app reviews'
    # validation side.
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32)


def _regression(class_weight: str | None = None) -> Any:
    # tol: a looser one stops at once on film reviews, whose gradients are small from the first step.
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=4.0, class_weight=class_weight, max_iter=2000, tol=1e-4)


def _figures(probabilities: Floats, dataset: Dataset, thresholds: list[float] | None = None) -> dict[str, float]:
    decision = plain_decision(dataset.labels, thresholds)
    choices = decision.choices(probabilities)
    if isinstance(decision, Decision):
        return all_figures(probabilities, choices, dataset.test.targets, decision.labels)
    confidences = decision.confidences(probabilities, choices)
    return all_label_figures(Scores.of(probabilities, choices, confidences), dataset.test.targets)
