from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import Decision, zero_one_costs
from schemas.encoding import PAD_ID, Encoder, EncoderSettings
from schemas.inference import GROUP_CELLS, GROUP_ROWS, Graph, Model, length_groups, pad
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION

TABLE = {f"w{number}": number + 2 for number in range(50)}
LABELS = [1, 2, 3]
_lengths = st.lists(st.integers(1, 300), max_size=200)


class Adder:
    """An interpreter with the runtime's shape rules; its logits are three sums over a row, so padding adds nothing."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (1, 1)
        self.allocated = False
        self.resizes = 0
        self.ran: list[tuple[int, ...]] = []
        self._ids = np.zeros((1, 1), dtype=np.int32)

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 7}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": 9}]

    def resize_tensor_input(self, input_index: int, tensor_size: Sequence[int], strict: bool = False) -> None:
        assert (input_index, strict) == (7, False)
        self.shape = tuple(tensor_size)
        self.allocated = False
        self.resizes += 1

    def allocate_tensors(self) -> None:
        if self.shape[0] * self.shape[1] > 100_000:
            raise RuntimeError("out of memory")
        self.allocated = True

    def set_tensor(self, tensor_index: int, value: npt.NDArray[Any]) -> None:
        if not self.allocated or value.shape != self.shape or value.dtype != np.int32:
            raise ValueError(f"cannot set {value.dtype}{value.shape} into {tensor_index}")
        self._ids = value

    def invoke(self) -> None:
        self.ran.append(self.shape)
        if self._ids.max() > 60:
            self.allocated = False
            raise RuntimeError("an id past the table")

    def get_tensor(self, tensor_index: int) -> npt.NDArray[Any]:
        assert tensor_index == 9
        real = self._ids > PAD_ID
        return np.stack([(self._ids * (self._ids % 3 == at) * real).sum(axis=1) / 50 for at in range(3)], axis=1)


def _model(interpreter: Adder) -> Model:
    encoder = Encoder(EncoderSettings(), TABLE)
    return Model(encoder, Graph(interpreter), Decision(labels=LABELS, costs=zero_one_costs(3)))


@given(lengths=_lengths, max_rows=st.integers(1, 64), max_cells=st.integers(1, 2000))
def test_groups_cover_every_row_once_from_short_to_long_within_both_limits(
    lengths: list[int], max_rows: int, max_cells: int
) -> None:
    found = np.array(lengths, dtype=np.int64)
    groups = list(length_groups(found, max_rows=max_rows, max_cells=max_cells))
    order = [row for group in groups for row in group.tolist()]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths)
    for group in groups:
        assert 1 <= len(group) <= max_rows
        assert len(group) == 1 or len(group) * int(found[group].max()) <= max_cells


@given(rows=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=30), min_size=1, max_size=40))
def test_pad_keeps_each_row_and_fills_the_rest(rows: list[list[int]]) -> None:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    padded = pad([np.array(row, dtype=np.int32) for row in rows], lengths)
    assert padded.shape == (len(rows), max(lengths))
    assert padded.dtype == np.int32
    for row, ids in zip(padded.tolist(), rows, strict=True):
        assert row == ids + [PAD_ID] * (padded.shape[1] - len(ids))


@given(
    texts=st.lists(
        st.lists(st.sampled_from([*TABLE, "new"]), min_size=1, max_size=40).map(" ".join), min_size=1, max_size=150
    )
)
def test_scores_are_in_order_and_do_not_depend_on_neighbours(texts: list[str]) -> None:
    model = _model(Adder())
    scores = model.score(texts)
    assert scores.probabilities.shape == (len(texts), 3)
    assert scores.tokens == sum(len(text.split()) for text in texts)
    assert scores.unknown == sum(text.split().count("new") for text in texts)
    assert scores.cells >= scores.tokens
    for row, text in enumerate(texts[:5]):
        assert model.score([text]).probabilities[0] == pytest.approx(scores.probabilities[row], abs=1e-6)


def test_no_texts_have_no_scores() -> None:
    scores = _model(Adder()).score([])
    assert scores.probabilities.shape == (0, 3)
    assert (scores.tokens, scores.unknown, scores.cells) == (0, 0, 0)


def test_a_group_larger_than_all_before_is_run_twice() -> None:
    interpreter = Adder()
    graph = Graph(interpreter)
    assert interpreter.ran == [(GROUP_ROWS, GROUP_CELLS // GROUP_ROWS)]
    for shape, runs in (((64, 512), 1), ((65, 3), 2), ((65, 3), 1), ((8, 5000), 2), ((65, 600), 1)):
        interpreter.ran.clear()
        graph.logits(np.full(shape, 5, dtype=np.int32))
        assert len(interpreter.ran) == runs, shape
        assert interpreter.ran[-1] == shape


def test_same_shape_is_not_resized_and_a_failed_group_does_not_spoil_the_next() -> None:
    interpreter = Adder()
    graph = Graph(interpreter)
    good, bad = np.full((2, 3), 5, dtype=np.int32), np.full((4, 3), 99, dtype=np.int32)
    first = graph.logits(good)
    assert (graph.logits(good) == first).all()
    assert interpreter.resizes == 2, "for the largest group beforehand, and for this one"
    with pytest.raises(RuntimeError, match="out of memory"):
        graph.logits(np.full((200, 600), 5, dtype=np.int32))
    assert (graph.logits(good) == first).all(), "the runtime is still at the shape that failed"
    with pytest.raises(RuntimeError, match="past the table"):
        graph.logits(bad)
    assert (graph.logits(good) == first).all()


PROGRAM = """
import os, sys
from pathlib import Path
from ai_edge_litert.interpreter import Interpreter
from schemas.inference import open_quietly

def make():
    os.write(2, b"a warning of the runtime\\n")
    return Interpreter(model_content=Path(sys.argv[1]).read_bytes(), num_threads=1)

opened = [open_quietly(make) if "quietly" in sys.argv else make() for _ in range(2)]
for interpreter in opened:
    interpreter.allocate_tensors()
os.write(2, b"after")
"""


def _stderr_of_interpreters(*words: str) -> str:
    model = TOY_REGISTRY / TOY_VERSION / "model.tflite"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(model), *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_notice_of_the_delegate_is_dropped_and_nothing_else() -> None:
    assert "XNNPACK" in _stderr_of_interpreters(), "the runtime writes it no more: delete open_quietly"
    assert _stderr_of_interpreters("quietly") == "a warning of the runtime\n" * 2 + "after"
