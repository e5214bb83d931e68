"""The served graph: trained weights in a TFLite time loop of any batch and any length.

Owns the inference form of the network and its conversion. `parity` is next: it compares the file with Keras. The loop
is our own because `keras.layers.GRU` does not convert with a dynamic batch (TensorListReserve needs a static shape),
and unrolled it has a fixed length and is slow to convert.

The loop carries only the state (of each direction, and the running maximum and sum). The input's projection is folded
into the embedding table (`E @ W + b`, exact, one row a word), so a step gathers a row a review and adds one product
with the state. The backward direction runs in the same loop from T-1 to 0. A padded step leaves the state unchanged, so
the other reviews of a batch do not matter.

The wide part does not depend on order: it gathers the rows of all positions at once, outside the loop, and sums them.
Its indices are sums of two numbers below 2^22 (`wide` says why), so they fit into int32. Its tables have names in the
file, by which `schemas.reasons.wide` finds them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from schemas.encoding import PAD_ID
from schemas.reasons.wide import NAMES
from trainer.network.model import Direction, Weights
from trainer.network.wide import SMALLEST, Wide
from trainer.settings import Variant

Floats = npt.NDArray[np.float32]
States = tuple[Any, ...]

_LOWEST = np.float32(-1e9)


def convert(weights: Weights, variant: Variant) -> bytes:
    """Return a TFLite file from ids `int32[B, T]` to logits `float32[B, K]`, any B >= 1 and T >= 1.

    Args:
        weights: of the trained network.
        variant: `float32`; `float16` stores the weights in half the space; `int8` in a quarter, and multiplies in
            integers (dynamic range).

    The same weights give the same bytes.
    """
    with tf.Graph().as_default() as graph:  # a new graph: its names, and so the bytes, do not depend on earlier ones
        ids = tf.compat.v1.placeholder(tf.int32, [None, None], name="ids")
        logits = tf.identity(_logits(weights, ids), name="logits")
        with tf.compat.v1.Session(graph=graph) as session:
            converter = tf.compat.v1.lite.TFLiteConverter.from_session(session, [ids], [logits])
            if variant != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if variant == "float16":
                converter.target_spec.supported_types = [tf.float16]
            # Per-channel weights need FULLY_CONNECTED version 12, which tflite-runtime 2.14 does not have.
            converter._experimental_disable_per_channel_quantization_for_dense_layers = True
            model: bytes = converter.convert()
    return model


def _logits(weights: Weights, ids: Any) -> Any:
    """Build the graph, `int32[B, T]` -> `float32[B, K]`."""
    shape = tf.shape(ids)
    rows, steps = shape[0], shape[1]
    columns = tf.transpose(ids)  # [T, B]: a step is a row
    tables = [direction_table(weights.embedding, direction) for direction in weights.directions]
    units = weights.directions[0].recurrent.shape[0]
    zeros = tf.zeros([rows, units])
    lowest = tf.fill([rows, units], _LOWEST)
    carried = {"gru": 1, "lstm": 2}[weights.cell] + 2  # tensors of one direction: h (and c), maximum, sum

    def body(step: Any, *state: Any) -> States:
        after: list[Any] = [step + 1]
        for at, (table, direction) in enumerate(zip(tables, weights.directions, strict=True)):
            column = tf.gather(columns, step if at == 0 else steps - 1 - step)
            *cell, top, total = state[at * carried : (at + 1) * carried]
            real = tf.expand_dims(tf.not_equal(column, PAD_ID), 1)
            moved = CELLS[weights.cell](tf.gather(table, column), tuple(cell), direction)
            moved = tuple(tf.where(real, new, old) for new, old in zip(moved, cell, strict=True))
            after += [*moved, tf.where(real, tf.maximum(top, moved[0]), top), tf.where(real, total + moved[0], total)]
        return tuple(after)

    start = [*[zeros] * (carried - 2), lowest, zeros] * len(tables)
    _, *end = tf.while_loop(lambda step, *_: step < steps, body, (tf.constant(0), *start))
    ends = [end[at * carried : (at + 1) * carried] for at in range(len(tables))]
    count = tf.reduce_sum(tf.cast(tf.not_equal(ids, PAD_ID), tf.float32), axis=1, keepdims=True)
    count = tf.maximum(count, 1.0)
    pooled = [state[0] for state in ends] + [state[-2] for state in ends] + [state[-1] / count for state in ends]
    deep = tf.matmul(tf.concat(pooled, axis=1), tf.constant(weights.kernel)) + tf.constant(weights.bias)
    return deep if weights.wide is None else deep + _wide_logits(weights.wide, ids)


def _wide_logits(wide: Wide, ids: Any) -> Any:
    """Build the wide part, `int32[B, T]` -> `float32[B, K]`. Padded positions gather rows of zeros."""
    table = {name: tf.constant(getattr(wide, name), name=f"wide_{name}") for name in NAMES}
    before = tf.fill([tf.shape(ids)[0], 1], PAD_ID)
    previous = tf.concat([before, ids[:, :-1]], axis=1)
    hashed = tf.gather(table["first"], previous) + tf.gather(table["second"], ids)
    pairs = tf.where(tf.not_equal(ids, PAD_ID), tf.math.floormod(hashed, wide.buckets), wide.buckets)
    norm = tf.gather(table["word_norms"], ids) + tf.gather(table["pair_norms"], pairs)
    total = tf.gather(table["words"], ids) + tf.gather(table["pairs"], pairs)
    root = tf.sqrt(tf.reduce_sum(norm, axis=1, keepdims=True) + SMALLEST)
    return tf.reduce_sum(total, axis=1) / root + table["bias"]


def direction_table(embedding: Floats, direction: Direction) -> Floats:
    """Return `float32[V, G*H]`: each word's embedding with the input's projection and bias applied, exactly."""
    table: Floats = embedding @ direction.kernel + direction.input_bias
    return table


def _gru(projected: Any, state: States, direction: Direction) -> States:
    """One step of Keras' GRU with `reset_after=True` (Cho et al. 2014, v1 variant of the reset gate).

    `projected` is `float32[B, 3H]`, gates z, r, h; the state is `(h,)`.
    """
    (h,) = state
    input_z, input_r, input_h = tf.split(projected, 3, axis=1)
    state_z, state_r, state_h = tf.split(_recur(h, direction), 3, axis=1)
    z = tf.sigmoid(input_z + state_z)
    candidate = tf.tanh(input_h + tf.sigmoid(input_r + state_r) * state_h)
    return (z * h + (1.0 - z) * candidate,)


def _lstm(projected: Any, state: States, direction: Direction) -> States:
    """One step of Keras' LSTM (Hochreiter & Schmidhuber 1997, with a forget gate).

    `projected` is `float32[B, 4H]`, gates i, f, c, o; the state is `(h, c)`.
    """
    h, c = state
    gate_i, gate_f, gate_c, gate_o = tf.split(projected + _recur(h, direction), 4, axis=1)
    c = tf.sigmoid(gate_f) * c + tf.sigmoid(gate_i) * tf.tanh(gate_c)
    return tf.sigmoid(gate_o) * tf.tanh(c), c


def _recur(h: Any, direction: Direction) -> Any:
    return tf.matmul(h, tf.constant(direction.recurrent)) + tf.constant(direction.recurrent_bias)


CELLS = {"gru": _gru, "lstm": _lstm}
