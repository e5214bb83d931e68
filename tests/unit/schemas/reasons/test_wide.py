"""The wide part taken apart: its terms add up to its logits, whatever the tables and the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons.wide import NAMES, WidePart, read_wide
from trainer.network.wide import Wide, hash_tables

SIZE, BUCKETS = 40, 32


def tables(seed: int, classes: int) -> Wide:
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(size=shape).astype(np.float32)

    first, second = hash_tables(SIZE, BUCKETS)
    norms = np.abs(draw(SIZE)), np.abs(draw(BUCKETS + 1))
    return Wide(first, second, draw(SIZE, classes), draw(BUCKETS + 1, classes), *norms, draw(classes))


class GraphOf:
    """A graph's tensors: the tables in int8 where asked, and what the graph computes from them."""

    def __init__(self, wide: Wide, *, named: bool, int8: bool = False) -> None:
        self.values: list[npt.NDArray[Any]] = []
        self.details: list[dict[str, Any]] = []
        self._add("Const", np.zeros(7, np.float32))  # of the recurrent part
        for number, name in enumerate(NAMES, start=3):
            self._add(f"wide_{name}" if named else f"Const_{number}", getattr(wide, name), int8=int8)
        self._add("Const_51", np.zeros((1, 1), np.float32), signature=[-1, -1])  # what was gathered from Const_5
        self._add("add_5", np.zeros((1, 5), np.float32), signature=[-1, 5])

    def _add(
        self, name: str, table: npt.NDArray[Any], *, int8: bool = False, signature: list[int] | None = None
    ) -> None:
        quantization = (0.0, 0)
        if int8 and table.dtype == np.float32:
            quantization = (float(np.abs(table).max()) / 127, 0)
            table = np.round(table / quantization[0]).astype(np.int8)
        shape = signature or list(table.shape)
        self.details.append(
            {"index": len(self.values), "name": name, "quantization": quantization, "shape_signature": shape}
        )
        self.values.append(table)

    def get_tensor_details(self) -> list[dict[str, Any]]:
        return self.details[::-1]  # in no order that says something

    def get_tensor(self, tensor_index: int) -> npt.NDArray[Any]:
        return self.values[tensor_index]

    def allocate_tensors(self) -> None:
        pass


@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from([2, 5]),
    row=st.lists(st.integers(1, SIZE - 1), min_size=1, max_size=60),
)
def test_the_terms_add_up_to_the_logits_of_the_trainer(seed: int, classes: int, row: list[int]) -> None:
    wide = tables(seed, classes)
    ids = np.array(row, dtype=np.int32)
    part = WidePart(**{name: getattr(wide, name) for name in NAMES})
    found = part.contributions(ids)
    assert found.words.shape == found.pairs.shape == (len(row), classes)
    assert found.logits == pytest.approx(wide.logits([ids])[0], abs=1e-4)


@pytest.mark.parametrize("named", [True, False])
def test_the_tables_are_read_from_a_graph_of_this_release_and_of_older_ones(named: bool) -> None:
    wide = tables(1, 5)
    found = read_wide(GraphOf(wide, named=named), SIZE, 5)
    assert found is not None
    for name in NAMES:
        assert np.array_equal(getattr(found, name), getattr(wide, name)), name


def test_int8_tables_are_what_the_graph_multiplies_by() -> None:
    wide = tables(1, 5)
    found = read_wide(GraphOf(wide, named=True, int8=True), SIZE, 5)
    assert found is not None
    assert np.array_equal(found.first, wide.first)
    assert found.words == pytest.approx(wide.words, abs=float(np.abs(wide.words).max()) / 254 * 1.01)
    assert not np.array_equal(found.words, wide.words)


def test_a_graph_without_a_wide_part_has_none() -> None:
    graph = GraphOf(tables(1, 5), named=False)
    graph.details = [detail for detail in graph.details if not detail["name"].startswith("Const_")]
    assert read_wide(graph, SIZE, 5) is None
    assert read_wide(GraphOf(tables(1, 5), named=False), SIZE + 1, 5) is None, "shapes of something else"
