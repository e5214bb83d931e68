"""The wide part of a served graph, taken apart: what each word and each pair of neighbours adds to the logits.

Owns the reading of its tables from the graph itself, so that they are the numbers that serve, rounded to int8 where the
graph's are. `trainer.network.wide` has the formula and `trainer.export.convert` writes the tables:

    logits = sum_f table[f] / sqrt(sum_f norms[f] + 1e-6) + bias

The divisor is the same for all features of a text, so its logits are a sum with one term for each feature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from schemas.decision import Floats
from schemas.encoding import PAD_ID, Ids

Doubles = npt.NDArray[np.float64]

SMALLEST: Final = 1e-6
# The constants of the graph, in the order in which the trainer has always made them, last of all.
NAMES: Final = ("first", "second", "word_norms", "pair_norms", "words", "pairs", "bias")
_UNNAMED: Final = re.compile(r"Const_?([0-9]*)")


class Tensors(Protocol):
    """The part of the interpreter's API that shows a graph's tensors; both runtimes have it."""

    def allocate_tensors(self) -> None:
        """Make the tensors readable."""

    def get_tensor_details(self) -> list[dict[str, Any]]:
        """Return each tensor's index, name, quantisation and shape, -1 where the batch decides."""

    def get_tensor(self, tensor_index: int) -> npt.NDArray[Any]:
        """Return a tensor's values."""


@dataclass(frozen=True, slots=True)
class Contributions:
    """What the features of a text of n tokens add to the K logits of the wide part.

    Attributes:
        words: `float64[n, K]`, of each token.
        pairs: `float64[n, K]`, of each token with the one before it; the first is of the text's beginning.
        bias: `float64[K]`, of any text.
    """

    words: Doubles
    pairs: Doubles
    bias: Doubles

    @property
    def logits(self) -> Doubles:
        """The logits of the wide part, `float64[K]`: the sum of all."""
        total: Doubles = self.words.sum(axis=0) + self.pairs.sum(axis=0) + self.bias
        return total


@dataclass(frozen=True, slots=True)
class WidePart:
    """The tables of a graph's wide part, V ids, M buckets, K labels."""

    first: npt.NDArray[np.int32]  # `int32[V]`
    second: npt.NDArray[np.int32]  # `int32[V]`
    word_norms: Floats  # `float32[V]`
    pair_norms: Floats  # `float32[M + 1]`; the last is of padded positions
    words: Floats  # `float32[V, K]`
    pairs: Floats  # `float32[M + 1, K]`
    bias: Floats  # `float32[K]`

    def contributions(self, ids: Ids) -> Contributions:
        """Return what the features of a text, `int32[n]` without padding, add to the logits."""
        previous = np.concatenate([np.array([PAD_ID], dtype=np.int32), ids[:-1]])
        pairs = (self.first[previous] + self.second[ids]) % np.int32(len(self.pair_norms) - 1)
        norm = float(self.word_norms[ids].sum() + self.pair_norms[pairs].sum())
        root = np.sqrt(norm + SMALLEST)
        return Contributions(
            words=self.words[ids].astype(np.float64) / root,
            pairs=self.pairs[pairs].astype(np.float64) / root,
            bias=self.bias.astype(np.float64),
        )


def read_wide(interpreter: Tensors, size: int, classes: int) -> WidePart | None:
    """Return the wide part of a graph; None when it has none.

    Args:
        interpreter: of the graph.
        size: how many ids the encoder gives, V.
        classes: K.
    """
    interpreter.allocate_tensors()
    details = {str(detail["name"]): detail for detail in interpreter.get_tensor_details()}
    found: Sequence[dict[str, Any] | None] = [details.get(f"wide_{name}") for name in NAMES]
    if None in found:
        found = _unnamed(details)
    tables = [_values(interpreter, detail) for detail in found if detail is not None]
    if len(tables) < len(NAMES):
        return None
    part = WidePart(*tables)
    buckets = len(part.pair_norms)
    shapes = [(size,), (size,), (size,), (buckets,), (size, classes), (buckets, classes), (classes,)]
    return part if [table.shape for table in tables] == shapes and buckets > 1 else None


def _unnamed(details: Mapping[str, dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the tensors that are the tables in a graph of an older release, which gave them no names."""
    numbered = {
        int(match[1] or 0): detail
        for name, detail in details.items()
        if (match := _UNNAMED.fullmatch(name)) and -1 not in detail["shape_signature"]  # what is gathered has a batch
    }
    return [numbered[number] for number in sorted(numbered)[-len(NAMES) :]]


def _values(interpreter: Tensors, detail: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return a table in its own type where that is int32, else in float32: the graph multiplies by a scale."""
    raw = interpreter.get_tensor(detail["index"])
    if raw.dtype == np.int32:
        return raw
    scale, zero = detail["quantization"]
    found: npt.NDArray[Any] = raw.astype(np.float32)
    return (found - np.float32(zero)) * np.float32(scale) if raw.dtype == np.int8 else found
