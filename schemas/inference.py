"""Texts -> probabilities through a TFLite interpreter at dynamic shapes, for the worker and the trainer alike.

Owns the cutting of a batch into groups of like length, the padding, and the calls to the interpreter. Never imports
a runtime: both ai-edge-litert and tflite-runtime satisfy `Interpreter`, and the caller brings one. The trainer
evaluates a model by this code, and the worker serves it.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from schemas.batch.id_rows import Counts, IdRows, Ids
from schemas.decision import Choices, Floats
from schemas.encoding import PAD_ID, UNKNOWN_ID, Encoder
from schemas.label_decision import AnyDecision

# A group is one Invoke. Rows: past 64 the matrix products no longer gain (measured 32..64); cells bound the memory.
GROUP_ROWS = 64
GROUP_CELLS = 32_768
_NOTICE: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_made: Final = itertools.count()


class Interpreter(Protocol):
    """The part of the TFLite interpreter's API that both runtimes share."""

    def get_input_details(self) -> list[dict[str, Any]]: ...
    def get_output_details(self) -> list[dict[str, Any]]: ...
    def resize_tensor_input(self, input_index: int, tensor_size: Sequence[int], strict: bool = False) -> None: ...
    def allocate_tensors(self) -> None: ...
    def set_tensor(self, tensor_index: int, value: npt.NDArray[Any]) -> None: ...
    def invoke(self) -> None: ...
    def get_tensor(self, tensor_index: int) -> npt.NDArray[Any]: ...


class Graph:
    """A TFLite graph from ids `int32[B, T]` (0 pads) to logits `float32[B, K]`, any B and T. Not thread-safe.

    The result of a run in which the interpreter's memory grows is never used: with float16 weights ai-edge-litert 2.3.0
    (XNNPACK, after the time loop) then sometimes reads freed memory, and the whole group is wrong. So a group of the
    largest size runs first and its result is dropped, again whenever a larger group arrives. That also warms the graph
    up: no smaller shape is slower the first time.

    Raises:
        RuntimeError: what the runtime raises when it cannot allocate the largest group.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._input = int(interpreter.get_input_details()[0]["index"])
        self._output = int(interpreter.get_output_details()[0]["index"])
        self._shape = (0, 0)
        self._rows = self._cells = 0  # the largest that memory is allocated for
        self._grow(GROUP_ROWS, GROUP_CELLS)

    def logits(self, ids: Ids) -> Floats:
        """Run one group, `int32[B, T]` -> `float32[B, K]`; blocks, without the GIL.

        Raises:
            RuntimeError: what the runtime raises when it refuses the input or cannot allocate.
        """
        if len(ids) > self._rows or ids.size > self._cells:
            self._grow(max(len(ids), self._rows), max(ids.size, self._cells))
        return self._run(ids)

    def _grow(self, rows: int, cells: int) -> None:
        self._run(np.full((rows, -(-cells // rows)), UNKNOWN_ID, dtype=np.int32))
        self._rows, self._cells = rows, cells

    def _run(self, ids: Ids) -> Floats:
        if ids.shape != self._shape:
            self._shape = (0, 0)  # if the resize fails half-way, the next call resizes again
            self._interpreter.resize_tensor_input(self._input, ids.shape)
            self._interpreter.allocate_tensors()
            self._shape = (ids.shape[0], ids.shape[1])
        self._interpreter.set_tensor(self._input, ids)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Scores:
    """The model's scores of N texts, in their order."""

    probabilities: Floats  # `float32[N, K]`, calibrated
    choices: Choices
    expected: Floats | None  # `float32[N]`, probability-weighted mean label; None of a label model
    unknown_shares: Floats  # `float32[N]`, share of the words that are not in the table; 0 where there is no word
    known_words: Counts  # `int64[N]`, how many of the words are in it, emoji among them
    tokens: int  # how many tokens were read
    unknown: int  # how many of them are not in the table
    cells: int  # rows x steps the interpreter ran, padding included
    confidences: Floats  # `float32[N]`, the calibrated probability that the decision is right

    @staticmethod
    def of(probabilities: Floats, choices: Choices, confidences: Floats, expected: Floats | None = None) -> Scores:
        """Return the scores of N texts whose words nobody counted: each is taken as one that is known."""
        rows = len(probabilities)
        known = np.ones(rows, dtype=np.int64)
        return Scores(probabilities, choices, expected, np.zeros(rows, np.float32), known, rows, 0, rows, confidences)

    def at(self, rows: npt.NDArray[np.intp]) -> Scores:
        """Return the scores of some of the texts."""
        return replace(
            self,
            probabilities=self.probabilities[rows],
            choices=self.choices[rows],
            expected=None if self.expected is None else self.expected[rows],
            unknown_shares=self.unknown_shares[rows],
            known_words=self.known_words[rows],
            confidences=self.confidences[rows],
        )


class Model:
    """An encoder, a graph and a decision rule: texts in, scores out. Not thread-safe."""

    def __init__(self, encoder: Encoder, graph: Graph, decision: AnyDecision) -> None:
        self.encoder = encoder
        self.decision = decision
        self._graph = graph

    def score(self, texts: Sequence[str]) -> Scores:
        """Rate texts, each non-blank; a text's probabilities do not depend on its neighbours (to 1e-5).

        Raises:
            RuntimeError: the runtime refused a group.
        """
        return self.score_ids(self.encoder.encode_all(texts))

    def score_ids(self, rows: Sequence[Ids]) -> Scores:
        """Rate encoded texts, each `int32[n]` with n >= 1.

        Raises:
            RuntimeError: the runtime refused a group.
        """
        rows = IdRows.of(rows)
        logits = np.empty((len(rows), len(self.decision.labels)), dtype=np.float32)
        cells = 0
        for group in length_groups(rows.lengths):
            padded = rows.padded(group)
            cells += padded.size
            logits[group] = self._graph.logits(padded)
        decision = self.decision
        words, known = self.encoder.word_counts(rows)
        unknown_shares = ((words - known) / np.maximum(words, 1)).astype(np.float32)
        probabilities = decision.shrunk(decision.probabilities(logits), unknown_shares)
        choices = decision.choices(probabilities)
        return Scores(
            probabilities=probabilities,
            choices=choices,
            expected=decision.expected_ratings(probabilities),
            unknown_shares=unknown_shares,
            known_words=known,
            tokens=len(rows.flat),
            unknown=self.encoder.unknown_count(rows.flat),
            cells=cells,
            confidences=decision.confidences(probabilities, choices),
        )


def length_groups(
    lengths: npt.NDArray[np.int64], *, max_rows: int = GROUP_ROWS, max_cells: int = GROUP_CELLS
) -> Iterator[npt.NDArray[np.intp]]:
    """Cut rows into groups of like length, so that padding is small: yields index arrays that cover every row once.

    Args:
        lengths: `int64[N]`, tokens of each row.
        max_rows: most rows in a group.
        max_cells: most rows x longest row in a group; a single row may exceed it.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = min(start + max_rows, len(order))
        while end - start > 1 and (end - start) * int(lengths[order[end - 1]]) > max_cells:
            end = start + (end - start + 1) // 2
        yield order[start:end]
        start = end


def pad(rows: Sequence[Ids], lengths: npt.NDArray[np.int64]) -> Ids:
    """Return `int32[B, longest]` padded with `PAD_ID`; one NumPy call fills the whole group."""
    padded = np.full((len(rows), int(lengths.max())), PAD_ID, dtype=np.int32)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return padded


def open_quietly(make: Callable[[], Interpreter]) -> Interpreter:
    """Return the interpreter that `make` makes, without the notice that the runtime writes to stderr for the first one.

    It is written by C++ when a process first allocates tensors, and has no level, setting or callback; the worker's
    stderr holds JSON lines only. Meanwhile, for a millisecond, file descriptor 2 of the process leads into a file;
    anything but the notice is written to stderr afterwards.
    """
    if next(_made):
        return make()
    try:
        stderr, aside = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:  # no stderr to keep clean, or no folder for temporary files
        return make()
    with aside:
        os.dup2(aside.fileno(), 2)
        try:
            interpreter = make()
            interpreter.allocate_tensors()
            return interpreter
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            aside.seek(0)
            os.write(2, b"".join(line for line in aside if line.rstrip() != _NOTICE))
