"""Parity: does the TFLite file compute what the Keras network computes?

Owns the comparison of the two, and the choice of the variant. Never publishes: a ParityError ends the run and leaves
the registry unchanged. `evaluation.metrics` is next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.decision import Decision, zero_one_costs
from schemas.encoding import Ids
from schemas.inference import Graph, length_groups, pad
from schemas.label_decision import AnyDecision
from trainer.errors import ParityError
from trainer.settings import Variant

Floats = npt.NDArray[np.float32]

# The largest difference of a probability; trained models show less, see LOG.md, 7.
TOLERANCES: dict[Variant, float] = {"float32": 1e-4, "float16": 5e-3, "int8": 5e-2}
NEIGHBOUR_TOLERANCE = 1e-5
NEAR_TIE = 1e-3


@dataclass(frozen=True, slots=True)
class Parity:
    """The comparison of one variant with Keras."""

    variant: Variant
    size_bytes: int  # of the file
    probability_error: float  # the largest difference of a probability
    neighbour_error: float  # the largest difference of a logit between a row alone and the same row in a padded batch
    changed: int  # how many validation texts get another rating, except near ties (expected costs within 1e-3)


def random_rows(size: int, seed: int, *, rows: int = 48, longest: int = 80) -> list[Ids]:
    """Return random id rows, `int32[n]` with 1 <= n <= longest, over every id the table has."""
    random = np.random.default_rng(seed)
    return [random.integers(1, size, length, dtype=np.int32) for length in random.integers(1, longest + 1, rows)]


def logits_of(model: Graph, rows: Sequence[Ids], classes: int) -> Floats:
    """Return a TFLite graph's logits of encoded rows, `float32[N, K]`, as `schemas.inference.Model` runs them."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    logits = np.empty((len(rows), classes), dtype=np.float32)
    for group in length_groups(lengths):
        logits[group] = model.logits(pad([rows[row] for row in group], lengths[group]))
    return logits


Expected = tuple[Sequence[Ids], Floats]  # encoded rows, and Keras' logits of them


def compare(
    variant: Variant, model: bytes, graph: Graph, probe: Expected, texts: Expected, decision: AnyDecision | None = None
) -> Parity:
    """Compare a variant, as a file and opened, with Keras' logits of the same rows.

    The probe is the golden set and random rows, the texts are of validation. Without a decision rule, the likeliest
    label is chosen.
    """
    rows, expected = probe
    classes = expected.shape[1]
    rule = decision or Decision(labels=list(range(classes)), costs=zero_one_costs(classes))
    plain = rule.model_copy(update={"temperature": 1.0})
    found = logits_of(graph, rows, classes)
    alone = np.concatenate([graph.logits(row[None]) for row in rows])
    difference = np.abs(plain.probabilities(found) - plain.probabilities(expected)).max()
    changed = changed_ratings(rule, texts[1], logits_of(graph, texts[0], classes))
    return Parity(variant, len(model), float(difference), float(np.abs(found - alone).max()), changed)


def changed_ratings(decision: AnyDecision, before: Floats, after: Floats) -> int:
    """Count the rows of `float32[N, K]` logits whose rating differs, except near ties in `before`."""
    changed = decision.changed(decision.probabilities(before), decision.probabilities(after), NEAR_TIE)
    return int(changed.sum())


def require(parity: Parity) -> None:
    """Refuse a variant that does not compute what Keras computes.

    Raises:
        ParityError: probabilities differ from Keras, or depend on the other rows of the batch.
    """
    limit = TOLERANCES[parity.variant]
    if not parity.probability_error <= limit:  # a NaN must not pass
        raise ParityError(
            f"{parity.variant}: a probability differs from Keras by {parity.probability_error:.2g}, over {limit:g}; "
            "nothing was published"
        )
    if parity.variant == "float32" and not parity.neighbour_error <= NEIGHBOUR_TOLERANCE:
        raise ParityError(
            f"{parity.variant}: a logit moves by {parity.neighbour_error:.2g} with the other rows of its batch, "
            f"over {NEIGHBOUR_TOLERANCE:g}; nothing was published"
        )


def smallest_faithful(found: Sequence[Parity]) -> Parity:
    """Return the smallest variant within its tolerance that changes no validation rating, else float32."""
    faithful = [
        parity for parity in found if parity.changed == 0 and parity.probability_error <= TOLERANCES[parity.variant]
    ]
    return min(faithful, key=lambda parity: parity.size_bytes, default=next(p for p in found if p.variant == "float32"))
