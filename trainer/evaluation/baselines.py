"""The floors: what an afternoon without a network gives, on the same split, in the same run.

Owns the baselines a model must beat to be worth serving: always the commonest label, and TF-IDF over words and pairs
of words with logistic regression, plain and class-balanced. Learns from train, is judged on test, sees nothing else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from schemas.decision import Decision, zero_one_costs
from trainer.data.dataset import Dataset
from trainer.evaluation.metrics import calibration_error, figures, negative_log_likelihood

Floats = npt.NDArray[np.float32]

MAJORITY = "majority"
PLAIN = "tfidf_logistic"
BALANCED = "tfidf_logistic_balanced"


def floors(dataset: Dataset) -> dict[str, dict[str, float]]:
    """Return the figures of each baseline on the test side."""
    # A looser tolerance stops on films before it has begun: their gradients are small from the first step.
    # C = 4 and sublinear counts, minimum two texts: what scored best on app reviews' validation, of a small grid.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    count = len(dataset.labels)
    shares = np.bincount(dataset.train.targets, minlength=count) / len(dataset.train)
    found = {MAJORITY: _judge(np.tile(shares.astype(np.float32), (len(dataset.test), 1)), dataset)}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32)
    learned = vectorizer.fit_transform(dataset.train.texts)
    judged = vectorizer.transform(dataset.test.texts)
    for name, class_weight in ((PLAIN, None), (BALANCED, "balanced")):
        classifier = LogisticRegression(C=4.0, class_weight=class_weight, max_iter=2000, tol=1e-4)
        classifier.fit(learned, dataset.train.targets)
        found[name] = _judge(classifier.predict_proba(judged).astype(np.float32), dataset)
    return found


def _judge(probabilities: Floats, dataset: Dataset) -> dict[str, float]:
    decision = Decision(labels=dataset.labels, costs=zero_one_costs(len(dataset.labels)))
    choices = decision.choices(probabilities)
    targets = dataset.test.targets
    return {
        **figures(targets, choices, dataset.labels),
        "ece": calibration_error(probabilities, choices, targets),
        "nll": negative_log_likelihood(probabilities, targets),
    }
