"""The network, in ordinary Keras layers.

Owns the architecture for training. Never serves: `convert` reads the trained weights into the graph that does.

ids `int32[B, T]` (0 pads) -> embedding `[B, T, D]` -> GRU or LSTM, one or both ways, `[B, T, W]` -> the last state of
each direction, and the maximum and mean over the real steps `[B, 3W]` -> dropout -> logits `[B, K]`. Pooling beside the
last state is Howard & Ruder 2018 ("concat pooling", ULMFiT); the cells are Cho et al. 2014 and Hochreiter &
Schmidhuber 1997 as Keras computes them (GRU with `reset_after=True`).

A new layer goes between these, and its inference form into `convert`; parity will tell when the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from schemas.encoding import PAD_ID, UNKNOWN_ID
from trainer.settings import Cell, ModelSettings

Floats = npt.NDArray[np.float32]
_LOWEST = -1e9  # under every state


class WordDropout(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """In training, reads a share of the words as unknown, so that unknown words have a trained embedding."""

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__(name="word_dropout")
        self.rate = rate
        self.random = keras.random.SeedGenerator(seed)

    def call(self, ids: Any, training: bool = False) -> Any:
        """`int32[B, T]` -> `int32[B, T]`; padding stays padding."""
        if not training or not self.rate:
            return ids
        hidden = keras.random.uniform(ops.shape(ids), seed=self.random) < self.rate
        return ops.where(ops.logical_and(hidden, ops.not_equal(ids, PAD_ID)), UNKNOWN_ID, ids)


class Pooling(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Last state of each direction, maximum and mean over the real steps."""

    def __init__(self, units: int, bidirectional: bool) -> None:
        super().__init__(name="pooling")
        self.supports_masking = True
        self.units = units
        self.bidirectional = bidirectional

    def call(self, states: Any, ids: Any) -> Any:
        """`float32[B, T, W]`, `int32[B, T]` -> `float32[B, 3W]`.

        The last forward state is looked up at the last real step: inside `Bidirectional` Keras makes the output of
        masked steps zero instead of repeating the state. The last backward state is always at step 0.
        """
        real = ops.expand_dims(ops.not_equal(ids, PAD_ID), -1)
        count = ops.maximum(ops.sum(ops.cast(real, states.dtype), axis=1), 1.0)
        step = ops.expand_dims(ops.arange(ops.shape(ids)[1], dtype=states.dtype), 0)
        at_last = ops.expand_dims(ops.cast(ops.equal(step, count - 1.0), states.dtype), -1)
        last = [ops.sum(states[:, :, : self.units] * at_last, axis=1)]
        if self.bidirectional:
            last.append(states[:, 0, self.units :])
        top = ops.max(ops.where(real, states, _LOWEST), axis=1)
        mean = ops.sum(ops.where(real, states, 0.0), axis=1) / count
        return ops.concatenate([*last, top, mean], axis=-1)


def build(settings: ModelSettings, size: int, prior: Floats, seed: int) -> keras.Model:
    """Return the untrained network, `int32[B, T]` -> logits `float32[B, K]`.

    Args:
        settings: the architecture.
        size: how many ids the encoder gives (`Encoder.size`).
        prior: `float32[K]`, share of each label; the last layer starts there, so the first steps need not learn it.
        seed: of everything random in the layers.
    """
    layers = keras.layers
    ids = keras.Input((None,), dtype="int32", name="ids")
    read = WordDropout(settings.word_dropout, seed)(ids)
    embedded = layers.Embedding(
        size,
        settings.embedding,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=seed),
        name="embedding",
    )(read)
    embedded = layers.SpatialDropout1D(settings.embedding_dropout, seed=seed + 1)(embedded)
    recurrent = {"gru": layers.GRU, "lstm": layers.LSTM}[settings.cell](
        settings.units, return_sequences=True, name="recurrent"
    )
    if settings.bidirectional:
        recurrent = layers.Bidirectional(recurrent, name="recurrent")
    states = recurrent(embedded, mask=ops.not_equal(ids, PAD_ID))
    pooled = Pooling(settings.units, settings.bidirectional)(states, ids)
    pooled = layers.Dropout(settings.dropout, seed=seed + 2)(pooled)
    bias = keras.initializers.Constant(np.log(np.maximum(prior, 1e-6)))
    logits = layers.Dense(len(prior), bias_initializer=bias, name="logits")(pooled)
    return keras.Model(ids, logits, name="stars")


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction's weights, G gates (GRU: z, r, h; LSTM: i, f, c, o), in Keras' order and shapes.

    Attributes:
        kernel: `float32[D, G*H]`.
        recurrent: `float32[H, G*H]`.
        input_bias: `float32[G*H]`, added to the input's projection.
        recurrent_bias: `float32[G*H]`, added to the state's projection (GRU with `reset_after`; zero for LSTM).
    """

    kernel: Floats
    recurrent: Floats
    input_bias: Floats
    recurrent_bias: Floats


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything a trained network is, as arrays.

    Attributes:
        cell: which cell the directions are of.
        embedding: `float32[V, D]`.
        directions: forward, then backward if there is one.
        kernel: `float32[3W, K]` of the last layer.
        bias: `float32[K]` of the last layer.
    """

    cell: Cell
    embedding: Floats
    directions: tuple[Direction, ...]
    kernel: Floats
    bias: Floats


def weights_of(network: keras.Model, settings: ModelSettings) -> Weights:
    """Read a network's weights."""
    recurrent = network.get_layer("recurrent")
    parts = [recurrent.forward_layer, recurrent.backward_layer] if settings.bidirectional else [recurrent]
    kernel, bias = network.get_layer("logits").get_weights()
    return Weights(
        cell=settings.cell,
        embedding=network.get_layer("embedding").get_weights()[0],
        directions=tuple(_direction(part.get_weights()) for part in parts),
        kernel=kernel,
        bias=bias,
    )


def _direction(arrays: list[Floats]) -> Direction:
    kernel, recurrent, bias = arrays
    if bias.ndim == 2:  # GRU, reset_after: one bias for the input's side and one for the state's
        return Direction(kernel, recurrent, bias[0], bias[1])
    return Direction(kernel, recurrent, bias, np.zeros_like(bias))
