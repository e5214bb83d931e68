"""The terms of the wide part add up to what the served graph computes, in every variant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.inference import Graph
from schemas.reasons.wide import read_wide
from tests.model.test_convert import SHAPES, SIZE, VARIANTS, Shape, _trained
from trainer.export.parity import logits_of
from trainer.export.runtime import open_interpreter
from trainer.settings import Variant


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.wide] + [Shape("lstm", True, True)], ids=str)
def test_the_terms_add_up_to_the_logits_of_the_served_graph(shape: Shape, variant: Variant) -> None:
    from trainer.export.convert import convert

    trained = _trained(shape)
    # Without the recurrent part's last layer, the graph's logits are those of the wide part alone.
    weights = replace(
        trained.weights, kernel=np.zeros_like(trained.weights.kernel), bias=np.zeros_like(trained.weights.bias)
    )
    content = convert(weights, variant)
    tensors: Any = open_interpreter(content)
    part = read_wide(tensors, SIZE, shape.classes)
    assert part is not None
    served = logits_of(Graph(open_interpreter(content)), trained.rows, shape.classes)
    added = np.stack([part.contributions(row).logits for row in trained.rows])
    assert np.ptp(served, axis=0).min() > 0.4, "logits that hardly differ would prove nothing"
    assert np.abs(added - served).max() < 2e-5


def test_a_network_without_a_wide_part_has_no_terms() -> None:
    from trainer.export.convert import convert

    tensors: Any = open_interpreter(convert(_trained(Shape("gru")).weights, "int8"))
    assert read_wide(tensors, SIZE, 5) is None
