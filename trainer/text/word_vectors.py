"""Word vectors, learned without scores: the initial embedding.

Owns the counting and the factorisation. Works on ids, so it follows every choice of the encoder (lemmas, stop words).
Never sees a held-out text: the caller passes the training side and the unlabelled texts. `network.wide` is next.

Positive pointwise mutual information of the words in a window, factorised: Levy & Goldberg 2014 ("Neural Word
Embedding as Implicit Matrix Factorization"); Levy, Goldberg & Dagan 2015 for the linear decay, the smoothing of the
context's share (power 0.75) and the square root of the singular values; Halko, Martinsson & Tropp 2011 for the
randomised SVD. On app reviews this was the largest single gain over a random start (LOG.md).

Memory: the matrix of pairs, about 100 bytes a distinct pair at its peak; tokens are counted in chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from schemas.encoding import FIRST_WORD_ID, Ids

Floats = npt.NDArray[np.float32]

WINDOW = 5
SMOOTHING = 0.75
MIN_COUNT = 4  # a word seen less often has too few neighbours
MOST_WORDS = 30_000  # the most common ids; the others start at random
CHUNK_TOKENS = 2_000_000
SCALE = 0.3  # spread of the vectors in the embedding; 0.1 and 1.0 were worse on validation
RANDOM_SCALE = 0.1


def start_of_embedding(rows: Iterable[Ids], size: int, dimensions: int, seed: int) -> Floats:
    """Return the initial embedding, `float32[size, dimensions]`: scaled word vectors, and small random rows elsewhere.

    From encoded texts, `int32[n]` each, not cut. The vectors do not depend on the seed; the random rows do.
    """
    start = np.random.default_rng(seed).normal(0, RANDOM_SCALE, (size, dimensions)).astype(np.float32)
    ids, vectors = word_vectors(rows, size, dimensions)
    start[ids, : vectors.shape[1]] = vectors * np.float32(SCALE)
    return start


def word_vectors(rows: Iterable[Ids], size: int, dimensions: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return ids `int64[N]` and their vectors `float32[N, D]`, D <= dimensions, standard deviation 1 over all.

    The same rows give the same vectors. Too few words give none.
    """
    encoded = list(rows)
    counts = np.zeros(size, dtype=np.int64)
    for row in encoded:
        np.add.at(counts, row, 1)
    counts[:FIRST_WORD_ID] = 0
    ids = np.flatnonzero(counts >= MIN_COUNT)
    ids = np.sort(ids[np.argsort(-counts[ids], kind="stable")][:MOST_WORDS])
    if len(ids) < 3:
        return np.zeros(0, dtype=np.int64), np.zeros((0, dimensions), dtype=np.float32)
    place = np.full(size, -1, dtype=np.int32)
    place[ids] = np.arange(len(ids), dtype=np.int32)
    information = _positive_information(_pairs(encoded, place, len(ids)))
    from sklearn.utils.extmath import randomized_svd

    width = min(dimensions, len(ids) - 1)
    left, values, _ = randomized_svd(information, width, n_iter=3, n_oversamples=16, random_state=0)
    vectors = left * np.sqrt(values)
    return ids, (vectors / max(float(vectors.std()), 1e-9)).astype(np.float32)


def _pairs(rows: list[Ids], place: npt.NDArray[np.int32], words: int) -> Any:
    """Return the symmetric `float32[words, words]` counts, nearer neighbours weighted more (5/5, 4/5 .. 1/5)."""
    total = sp.csr_matrix((words, words), dtype=np.float32)
    for line in _lines(rows, place):
        for distance in range(1, WINDOW + 1):
            left, right = line[:-distance], line[distance:]
            both = (left >= 0) & (right >= 0)
            weight = np.full(int(both.sum()), (WINDOW + 1 - distance) / WINDOW, dtype=np.float32)
            total = total + sp.csr_matrix((weight, (left[both], right[both])), shape=(words, words))
    return (total + total.T).tocoo()


def _lines(rows: list[Ids], place: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the rows end to end in chunks, words by their place and -1 elsewhere; gaps separate the texts."""
    gap = np.full(WINDOW, -1, dtype=np.int32)
    pieces: list[npt.NDArray[np.int32]] = []
    count = 0
    for row in rows:
        pieces += [place[row], gap]
        count += len(row)
        if count >= CHUNK_TOKENS:
            yield np.concatenate(pieces)
            pieces, count = [], 0
    if pieces:
        yield np.concatenate(pieces)


def _positive_information(pairs: Any) -> Any:
    """Return `log(p(word, context) / (p(word) p(context)^0.75))` where it is positive, sparse."""
    seen = np.maximum(np.bincount(pairs.row, pairs.data, pairs.shape[0]), 1e-9)
    context = seen**SMOOTHING
    context /= context.sum()
    found = np.log(pairs.data / (seen[pairs.row] * context[pairs.col]))
    kept = found > 0
    kept_pairs = (found[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept]))
    return sp.csr_matrix(kept_pairs, shape=pairs.shape)
