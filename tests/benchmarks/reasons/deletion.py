"""Deletion curves: how far a rating moves when words are removed, by how the words were chosen.

Owns the orders that are compared. A measure of reasons is faithful if the words that it names first move the rating
most (Samek et al. 2017; DeYoung et al. 2020, "comprehensiveness"). All orders remove the same number of words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from schemas.encoding import Ids
from schemas.inference import Model, Scores
from schemas.reasons.explain import leave_out
from schemas.reasons.wide import WidePart

REMOVED = (1, 2, 3, 5)
FEWEST_TOKENS = 8  # of a text that is measured: of a shorter one, five words are nearly all
RANDOM_ORDERS = 5
Order = Callable[[int], npt.NDArray[np.intp]]  # row -> its tokens, the most important first


def curves(model: Model, wide: WidePart | None, rows: Sequence[Ids]) -> dict[str, list[tuple[float, float]]]:
    """Return for each order and each of `REMOVED` how far ratings move: in stars, and in the decision's probability."""
    scores = model.score_ids(rows)
    support = [support for _, support in leave_out(model, rows, scores)]
    random = np.random.default_rng(0)
    orders: dict[str, Sequence[Order]] = {
        "reasons (each word left out)": [lambda row: np.argsort(-support[row], kind="stable")],
        "random words": [lambda row: random.permutation(len(rows[row]))] * RANDOM_ORDERS,
    }
    if wide is not None:
        orders["the linear part's words"] = [lambda row: _by_wide(wide, rows[row], scores, row)]
    return {name: _curve(model, rows, scores, some) for name, some in orders.items()}


def _by_wide(wide: WidePart, ids: Ids, scores: Scores, row: int) -> npt.NDArray[np.intp]:
    """Order by what a word, with its pairs, adds to the decision's logit over the mean of the others'."""
    found = wide.contributions(ids)
    shares = found.words + found.pairs
    shares[:-1] += found.pairs[1:]  # a pair leaves with either of its words
    toward = shares[:, scores.choices[row]] - shares @ scores.probabilities[row].astype(np.float64)
    return np.argsort(-toward, kind="stable")


def _curve(model: Model, rows: Sequence[Ids], scores: Scores, orders: Sequence[Order]) -> list[tuple[float, float]]:
    at = np.arange(len(rows))
    points = np.zeros((len(REMOVED), 2))
    for order in orders:
        chosen = [order(row) for row in range(len(rows))]
        for number, most in enumerate(REMOVED):
            left = model.score_ids([np.delete(ids, first[:most]) for ids, first in zip(rows, chosen, strict=True)])
            drop = scores.probabilities[at, scores.choices] - left.probabilities[at, scores.choices]
            assert scores.expected is not None
            assert left.expected is not None
            points[number] += np.abs(scores.expected - left.expected).mean(), drop.mean()
    return [(stars, drop) for stars, drop in (points / len(orders)).tolist()]
