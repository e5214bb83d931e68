"""The wide part: logistic regression on words and pairs of words, as tables whose rows the served graph sums.

Owns its fitting and its tables. `model.WideLogits` computes it in Keras and `export.convert` in TFLite;
`calibrate.fit_mix` weights it against the recurrent part. Wide and deep is Cheng et al. 2016: the linear part remembers
rare pairs ("not worth"), the recurrent part generalises, and their errors differ.

For a text with tokens t, features f (each word, and each pair of neighbours hashed into a bucket):

    logits = sum_f words[f] / sqrt(sum_f norms[f] + 1e-6) + bias

which equals scikit-learn's `decision_function` on counts multiplied by `weights` and divided by that root, with
`words = weights * coefficient` and `norms = weights ** 2`. These are sums over tokens, so the graph need not count.

Of a label model each label is a regression of its own (one against the rest) on the same features.

Weights are the inverse document frequency; with two classes the log count ratio of naive Bayes (Wang & Manning 2012,
"Baselines and Bigrams"), which is better there.

Pairs are hashed by tabulation (Carter & Wegman 1979): two tables of random numbers below M, one for each position, and
`(first[previous] + second[word]) mod M`. Both terms are below M <= 2^22, so the sum fits into int32 for any vocabulary;
a product of ids would not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from schemas.encoding import PAD_ID, Ids
from trainer.data.targets import Targets
from trainer.settings import ModelSettings

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

SMALLEST = 1e-6  # under the root, so that a text whose words all have weight 0 is not divided by 0
FEWEST_PAIRS, MOST_PAIRS, TOKENS_PER_PAIR = 2**16, 2**19, 12
STRENGTH, STRENGTH_OF_TWO = 3.0, 30.0  # C, chosen on validation of app and clothing reviews, and of films
STRENGTH_OF_LABELS = 3.0
MIN_TEXTS = 2  # a feature of one text says nothing about others
STEPS = 100  # of the fit: more change only the last digits of the coefficients
ADDED = 0.5  # to the counts of naive Bayes (smoothing)


@dataclass(frozen=True, slots=True)
class Wide:
    """A fitted wide part, V ids, M buckets, K labels."""

    first: npt.NDArray[np.int32]  # `int32[V]`, hash of the previous id; that of the first token is the padding
    second: npt.NDArray[np.int32]  # `int32[V]`, hash of the id
    words: Floats  # `float32[V, K]`, the padding's row zero
    pairs: Floats  # `float32[M + 1, K]`, the last row zero: the row of padded positions
    word_norms: Floats  # `float32[V]`, as `words`
    pair_norms: Floats  # `float32[M + 1]`, as `pairs`
    bias: Floats  # `float32[K]`

    @property
    def buckets(self) -> int:
        """M, the number of buckets of the pairs."""
        return len(self.pair_norms) - 1

    def scaled(self, share: float) -> Wide:
        """Return the wide part whose logits are `share` times these."""
        by = np.float32(share)
        tables = (self.words * by, self.pairs * by, self.word_norms, self.pair_norms, self.bias * by)
        return Wide(self.first, self.second, *tables)

    def logits(self, rows: Sequence[Ids]) -> Floats:
        """Return the logits of encoded texts, `float32[N, K]`, from the tables."""
        found = np.empty((len(rows), len(self.bias)), dtype=np.float32)
        for at, row in enumerate(rows):
            pairs = hashed_pairs(row, self.first, self.second, self.buckets)
            norm = self.word_norms[row].sum() + self.pair_norms[pairs].sum()
            total = self.words[row].sum(axis=0) + self.pairs[pairs].sum(axis=0)
            found[at] = total / np.sqrt(norm + np.float32(SMALLEST)) + self.bias
        return found


def fit_wide(
    rows: Sequence[Ids], targets: Targets, size: int, classes: int, settings: ModelSettings, steps: int = STEPS
) -> Wide:
    """Fit on N encoded training texts, `int32[n]` each as the served graph reads them, with targets of every class.

    `size` is how many ids the encoder gives, `steps` the most of the fit.
    """
    buckets = settings.wide_pairs or pairs_for(sum(map(len, rows)))
    first, second = hash_tables(size, buckets)
    counts = _counts(rows, (first, second), buckets)
    of_labels = targets.ndim == 2
    of_two = classes == 2 and not of_labels
    weights = _naive_bayes(counts, targets) if of_two else _inverse_frequency(counts)
    strength = settings.wide_strength or (STRENGTH_OF_LABELS if of_labels else STRENGTH_OF_TWO if of_two else STRENGTH)
    features = _weighed(counts, weights)
    models = [_regression(features, column, strength, steps) for column in (targets.T if of_labels else [targets])]
    kernel = np.concatenate([model.coef_.T for model in models], axis=1)
    bias = np.concatenate([model.intercept_ for model in models])
    if of_two:  # scikit-learn fits one column of log odds; each label gets half of it
        kernel, bias = np.concatenate([-kernel, kernel], axis=1) / 2, np.concatenate([-bias, bias]) / 2
    tables = (kernel * weights[:, None]).astype(np.float32)
    norms = (weights**2).astype(np.float32)
    tables[PAD_ID] = norms[PAD_ID] = 0  # no text has the padding, but naive Bayes gives unseen features a weight
    return Wide(
        first,
        second,
        words=tables[:size],
        pairs=np.concatenate([tables[size:], np.zeros((1, classes), dtype=np.float32)]),
        word_norms=norms[:size],
        pair_norms=np.append(norms[size:], np.float32(0)),
        bias=bias.astype(np.float32),
    )


def pairs_for(tokens: int) -> int:
    """Return the number of buckets for this number of tokens: a power of two near tokens / 12, in 2^16..2^19."""
    return min(max(FEWEST_PAIRS, 1 << int(np.ceil(np.log2(max(tokens / TOKENS_PER_PAIR, 1))))), MOST_PAIRS)


def hash_tables(size: int, buckets: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the two tables of the pairs' hash, `int32[V]` each, values in [0, buckets)."""
    first, second = np.random.default_rng(0).integers(0, buckets, (2, size), dtype=np.int32)
    return first, second


def hashed_pairs(
    row: Ids, first: npt.NDArray[np.int32], second: npt.NDArray[np.int32], buckets: int
) -> npt.NDArray[np.int32]:
    """Return the bucket of each token with the one before it, `int32[n]`."""
    previous = np.concatenate([np.array([PAD_ID], dtype=np.int32), row[:-1]])
    found: npt.NDArray[np.int32] = (first[previous] + second[row]) % np.int32(buckets)
    return found


def _counts(rows: Sequence[Ids], hashes: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], buckets: int) -> Any:
    """Return the counts of words and buckets, sparse `float32[N, V + M]`."""
    size = len(hashes[0])
    features = [np.concatenate([row, size + hashed_pairs(row, *hashes, buckets)]) for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(found) for found in features])])
    columns = np.concatenate(features)
    counts = sp.csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=(len(rows), size + buckets))
    counts.sum_duplicates()
    return counts


def _weighed(counts: Any, weights: npt.NDArray[np.float64]) -> Any:
    """Return the counts times the weights, each text divided by `sqrt(sum_f count * weight^2 + 1e-6)`, sparse."""
    root = np.sqrt(counts @ weights**2 + SMALLEST)
    return (sp.diags(1 / root) @ counts @ sp.diags(weights)).tocsr()


def _inverse_frequency(counts: Any) -> npt.NDArray[np.float64]:
    texts = np.asarray((counts > 0).sum(axis=0)).ravel()
    found: npt.NDArray[np.float64] = np.where(
        texts >= MIN_TEXTS, np.log((1 + counts.shape[0]) / (1.0 + texts)) + 1, 0.0
    )
    return found


def _naive_bayes(counts: Any, targets: Indices) -> npt.NDArray[np.float64]:
    present = (counts > 0).astype(np.float64)
    against, favour = (np.asarray(present[targets == label].sum(axis=0)).ravel() + ADDED for label in (0, 1))
    found: npt.NDArray[np.float64] = np.log((favour / favour.sum()) / (against / against.sum()))
    return found


def _regression(features: Any, targets: Targets, strength: float, steps: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Of labels there are many, each rare; liblinear takes a tenth of the time for each.
        solver = "liblinear" if targets.dtype == np.bool_ else "lbfgs"
        return LogisticRegression(C=strength, max_iter=steps, solver=solver).fit(features, targets)
