"""The baselines: simple models on the same split, fitted in the same run.

Owns the models that a network must beat to be worth serving: always the most common label, and logistic regression on
TF-IDF of words and pairs of words, plain and class-balanced. They learn from the training side, are measured on the
test side, and see nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from schemas.decision import Decision, zero_one_costs
from trainer.data.dataset import Dataset
from trainer.evaluation.metrics import all_figures

Floats = npt.NDArray[np.float32]

MAJORITY = "majority"
PLAIN = "tfidf_logistic"
BALANCED = "tfidf_logistic_balanced"
BASELINES = 3


def fit_baselines(dataset: Dataset, advance: Callable[[], None] = lambda: None) -> dict[str, dict[str, float]]:
    """Return the figures of each baseline on the test side; calls `advance` after each."""
    # tol: a looser one stops at once on film reviews, whose gradients are small from the first step.
    # C = 4, sublinear counts, at least two texts a feature: the best of a small grid on app reviews' validation side.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    count = len(dataset.labels)
    shares = np.bincount(dataset.train.targets, minlength=count) / len(dataset.train)
    found = {MAJORITY: _figures(np.tile(shares.astype(np.float32), (len(dataset.test), 1)), dataset)}
    advance()
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32)
    train = vectorizer.fit_transform(dataset.train.texts)
    test = vectorizer.transform(dataset.test.texts)
    for name, class_weight in ((PLAIN, None), (BALANCED, "balanced")):
        classifier = LogisticRegression(C=4.0, class_weight=class_weight, max_iter=2000, tol=1e-4)
        classifier.fit(train, dataset.train.targets)
        found[name] = _figures(classifier.predict_proba(test).astype(np.float32), dataset)
        advance()
    return found


def _figures(probabilities: Floats, dataset: Dataset) -> dict[str, float]:
    decision = Decision(labels=dataset.labels, costs=zero_one_costs(len(dataset.labels)))
    return all_figures(probabilities, decision.choices(probabilities), dataset.test.targets, dataset.labels)
