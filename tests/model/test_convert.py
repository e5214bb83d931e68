"""The TFLite file is the Keras network: every cell, direction and variant, any batch, any length."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from schemas.decision import Decision, zero_one_costs
from schemas.inference import Graph, pad
from trainer.export.convert import convert
from trainer.export.parity import TOLERANCES, compare, logits_of, random_rows, require
from trainer.export.runtime import open_interpreter
from trainer.network.fit import predictor, seed_everything
from trainer.network.model import Direction, Weights, build, join, weights_of
from trainer.network.wide import Wide, fit_wide
from trainer.settings import Cell, ModelSettings, Variant

SIZE, CLASSES = 500, 5
NETWORKS = list(itertools.product(("gru", "lstm"), (True, False)))
VARIANTS: tuple[Variant, ...] = ("float32", "float16", "int8")
Floats = npt.NDArray[np.float32]


class Trained(NamedTuple):
    weights: Weights
    logits: Floats
    rows: list[npt.NDArray[np.int32]]


@cache
def _trained(cell: Cell, bidirectional: bool) -> Trained:
    """A network with weights as spread as a trained one's, biases included, and its logits of random rows."""
    seed_everything(1)
    settings = ModelSettings(cell=cell, bidirectional=bidirectional, units=24, embedding=16)
    network = build(settings, SIZE, np.full(CLASSES, 1 / CLASSES, dtype=np.float32), seed=1)
    random = np.random.default_rng(1)
    network.set_weights([random.normal(scale=0.4, size=array.shape) for array in network.get_weights()])
    rows = random_rows(SIZE, 2, rows=40, longest=50)
    return Trained(weights_of(network, settings), predictor(network)(rows), rows)


@cache
def _converted(cell: Cell, bidirectional: bool, variant: Variant) -> bytes:
    return convert(_trained(cell, bidirectional).weights, variant)


def _shares(logits: Floats) -> Floats:
    return Decision(labels=list(range(CLASSES)), costs=zero_one_costs(CLASSES)).probabilities(logits)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("cell", "bidirectional"), NETWORKS)
def test_tflite_equals_keras(cell: Cell, bidirectional: bool, variant: Variant) -> None:
    trained = _trained(cell, bidirectional)
    graph = Graph(open_interpreter(_converted(cell, bidirectional, variant)))
    found = logits_of(graph, trained.rows, CLASSES)
    assert np.abs(_shares(found) - _shares(trained.logits)).max() <= TOLERANCES[variant]
    assert np.ptp(trained.logits, axis=0).min() > 0.5, "logits that hardly differ would prove nothing"


@pytest.mark.parametrize(("cell", "bidirectional"), NETWORKS)
def test_logits_do_not_depend_on_the_batch(cell: Cell, bidirectional: bool) -> None:
    trained = _trained(cell, bidirectional)
    graph = Graph(open_interpreter(_converted(cell, bidirectional, "float32")))
    lengths = np.array([len(row) for row in trained.rows])
    batch = graph.logits(pad(trained.rows, lengths))
    for at, row in enumerate(trained.rows):
        assert np.abs(graph.logits(row[None]) - batch[at]).max() <= 1e-5
        wide = np.zeros((1, len(row) + 37), dtype=np.int32)
        wide[0, : len(row)] = row
        assert np.abs(graph.logits(wide) - batch[at]).max() <= 1e-5


def test_one_interpreter_takes_every_shape() -> None:
    graph = Graph(open_interpreter(_converted("gru", True, "int8")))
    for rows, steps in ((1, 1), (64, 3), (2, 400), (1, 1), (33, 17)):
        assert graph.logits(np.ones((rows, steps), dtype=np.int32)).shape == (rows, CLASSES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_weights_give_the_same_bytes(variant: Variant) -> None:
    again = convert(_trained("gru", True).weights, variant)
    assert hashlib.sha256(again).digest() == hashlib.sha256(_converted("gru", True, variant)).digest()


def test_smaller_variants_are_smaller() -> None:
    sizes = [len(_converted("gru", True, variant)) for variant in VARIANTS]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0] / 2


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_int8_uses_no_operator_that_the_oldest_runtime_lacks(cell: Cell) -> None:
    """tflite-runtime 2.14 knows FULLY_CONNECTED up to version 11; per-channel weights would need 12."""
    from tensorflow.lite.python import schema_py_generated as flatbuffer

    model = flatbuffer.Model.GetRootAs(_converted(cell, True, "int8"), 0)
    codes = [model.OperatorCodes(at) for at in range(model.OperatorCodesLength())]
    versions = [code.Version() for code in codes if code.BuiltinCode() == flatbuffer.BuiltinOperator.FULLY_CONNECTED]
    assert versions
    assert max(versions) <= 11


@pytest.mark.parametrize("change", ["recurrent_bias", "input_bias", "kernel", "recurrent"])
def test_parity_refuses_a_graph_of_other_weights(change: str) -> None:
    from trainer.errors import ParityError

    trained = _trained("gru", True)
    forward, backward = trained.weights.directions
    values: dict[str, Any] = {
        name: getattr(backward, name) for name in ("kernel", "recurrent", "input_bias", "recurrent_bias")
    }
    values[change] = values[change] + np.float32(0.05)
    wrong = Weights(
        "gru",
        trained.weights.embedding,
        (forward, type(backward)(**values)),
        trained.weights.kernel,
        trained.weights.bias,
    )
    graph = convert(wrong, "float32")
    expected = (trained.rows, trained.logits)
    with pytest.raises(ParityError, match="nothing was published"):
        require(compare("float32", graph, Graph(open_interpreter(graph)), expected, expected))


def test_parity_passes_the_right_graph() -> None:
    trained = _trained("lstm", False)
    content = _converted("lstm", False, "float32")
    expected = (trained.rows, trained.logits)
    found = compare("float32", content, Graph(open_interpreter(content)), expected, expected)
    require(found)
    assert found.changed == 0
    assert found.size_bytes == len(content)


WIDE = list(itertools.product(("gru", "lstm"), (2, 5)))


@cache
def _joined(cell: Cell, classes: int) -> Trained:
    """A joined network whose deep and wide logits are both far from zero."""
    seed_everything(2)
    settings = ModelSettings(cell=cell, units=12, embedding=8, wide_pairs=1024)
    network = build(settings, SIZE, np.full(classes, 1 / classes, dtype=np.float32), seed=2)
    random = np.random.default_rng(2)
    network.set_weights([random.normal(scale=0.4, size=array.shape) for array in network.get_weights()])
    targets = random.integers(0, classes, 300)
    texts = [
        random.integers(1 + 60 * target, SIZE, random.integers(1, 40), dtype=np.int32) for target in targets.tolist()
    ]
    wide = fit_wide(texts, targets, SIZE, classes, settings).scaled(0.8)
    joined = join(network, 0.6, wide)
    rows = random_rows(SIZE, 3, rows=40, longest=50)
    return Trained(weights_of(joined, settings), predictor(joined)(rows), rows)


def _difference(weights: Weights, trained: Trained, variant: Variant = "float32") -> float:
    classes = trained.logits.shape[1]
    found = logits_of(Graph(open_interpreter(convert(weights, variant))), trained.rows, classes)
    decision = Decision(labels=list(range(classes)), costs=zero_one_costs(classes))
    return float(np.abs(decision.probabilities(found) - decision.probabilities(trained.logits)).max())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("cell", "classes"), WIDE)
def test_tflite_equals_keras_with_the_wide_part(cell: Cell, classes: int, variant: Variant) -> None:
    trained = _joined(cell, classes)
    assert trained.weights.wide is not None
    assert np.ptp(trained.weights.wide.logits(trained.rows), axis=0).min() > 0.5, "the wide part must count"
    assert _difference(trained.weights, trained, variant) <= TOLERANCES[variant]


@pytest.mark.parametrize(("cell", "classes"), WIDE)
def test_wide_logits_do_not_depend_on_the_batch(cell: Cell, classes: int) -> None:
    trained = _joined(cell, classes)
    graph = Graph(open_interpreter(convert(trained.weights, "float32")))
    lengths = np.array([len(row) for row in trained.rows])
    batch = graph.logits(pad(trained.rows, lengths))
    for at, row in enumerate(trained.rows):
        assert np.abs(graph.logits(row[None]) - batch[at]).max() <= 1e-5


@pytest.mark.parametrize("change", [field for field in Wide.__dataclass_fields__ if field != "word_norms"])
def test_a_change_of_any_wide_table_changes_the_probabilities(change: str) -> None:
    trained = _joined("gru", 5)
    wide = trained.weights.wide
    assert wide is not None
    before = getattr(wide, change)
    after = before + np.float32(0.3) if change == "pair_norms" else np.roll(before, 2, axis=0)
    weights = replace(trained.weights, wide=replace(wide, **{change: after}))
    assert _difference(weights, trained) > TOLERANCES["float32"]
    assert _difference(replace(trained.weights, wide=None), trained) > TOLERANCES["float32"]


def test_a_new_graph_gives_the_same_logits_as_later() -> None:
    """With float16 weights the runtime is sometimes wrong in a run in which its memory grows; `Graph` prevents that.

    The sizes are those of a trained model: the memory of small ones hardly ever moves.
    """
    content = convert(_large(), "float16")
    random = np.random.default_rng(3)
    groups = [random.integers(1, 5000, (64, steps), dtype=np.int32) for steps in range(1, 120, 2)]
    groups += [random.integers(1, 5000, (rows, 40), dtype=np.int32) for rows in (65, 90, 130, 200)]
    for _ in range(12):
        graph = Graph(open_interpreter(content))
        first = [graph.logits(ids) for ids in groups]
        for ids, found in zip(groups, first, strict=True):
            assert np.abs(graph.logits(ids) - found).max() <= 1e-3, ids.shape


def _large() -> Weights:
    random = np.random.default_rng(0)
    words, buckets, units, size = 5000, 20_000, 64, 64

    def draw(*shape: int) -> Floats:
        return random.normal(scale=0.3, size=shape).astype(np.float32)

    direction = Direction(draw(size, 3 * units), draw(units, 3 * units), draw(3 * units), draw(3 * units))
    hashes = random.integers(0, 2**22, (2, words)).astype(np.int32)
    norms = np.abs(draw(words)), np.abs(draw(buckets + 1))
    wide = Wide(hashes[0], hashes[1], draw(words, CLASSES), draw(buckets + 1, CLASSES), *norms, draw(CLASSES))
    return Weights("gru", draw(words, size), (direction,), draw(3 * units, CLASSES), draw(CLASSES), wide)
