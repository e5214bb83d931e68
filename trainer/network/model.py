"""The network, in ordinary Keras layers.

Owns the architecture for training. Never serves: `export.convert` copies the trained weights into the served graph.

ids `int32[B, T]` (0 pads) -> embedding `[B, T, D]` -> GRU or LSTM, in one or two directions, `[B, T, W]` -> the last
state of each direction, and the maximum and mean over the real steps `[B, 3W]` -> dropout -> logits `[B, K]`. Pooling
in addition to the last state is Howard & Ruder 2018 ("concat pooling", ULMFiT); the cells are Cho et al. 2014 and
Hochreiter & Schmidhuber 1997 as Keras computes them (GRU with `reset_after=True`).

That is the deep part, which `fit` trains. `join` adds the wide part, which is fitted before and frozen. The served
network, which parity compares with the file, is `deep_share * deep + wide logits`.

A new layer goes between these, and its inference form into `export.convert`; parity fails when the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from schemas.encoding import PAD_ID, UNKNOWN_ID
from trainer.network.wide import SMALLEST, Wide
from trainer.settings import Cell, ModelSettings

Floats = npt.NDArray[np.float32]
_LOWEST = -1e9  # under every state


class WordDropout(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Replaces a share of the words by the unknown id in training, so that it has a trained embedding."""

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

        The last forward state is that of the last real step: inside `Bidirectional` Keras sets the output of masked
        steps to zero instead of repeating the state. The last backward state is always at step 0.
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


class WideLogits(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """The wide part's logits, from its frozen tables. The formula is at the top of `wide`."""

    def __init__(self, wide: Wide) -> None:
        super().__init__(name="wide", trainable=False)
        self.wide = wide

    def call(self, ids: Any) -> Any:
        """`int32[B, T]` -> `float32[B, K]`."""
        wide = self.wide
        previous = ops.pad(ids, [[0, 0], [1, 0]], constant_values=PAD_ID)[:, :-1]
        pairs = ops.mod(ops.take(wide.first, previous, axis=0) + ops.take(wide.second, ids, axis=0), wide.buckets)
        pairs = ops.where(ops.not_equal(ids, PAD_ID), pairs, wide.buckets)
        norm = ops.sum(ops.take(wide.word_norms, ids, axis=0) + ops.take(wide.pair_norms, pairs, axis=0), axis=1)
        total = ops.sum(ops.take(wide.words, ids, axis=0) + ops.take(wide.pairs, pairs, axis=0), axis=1)
        return total / ops.sqrt(ops.expand_dims(norm, 1) + SMALLEST) + wide.bias


def join(network: keras.Model, deep_share: float, wide: Wide | None) -> keras.Model:
    """Return the served network: `deep_share` times the deep logits, plus the wide logits.

    Args:
        network: trained; its layers are shared.
        deep_share: from `calibrate.fit_mix`.
        wide: already scaled by its share; None: the deep part alone.
    """
    logits = keras.layers.Rescaling(deep_share, name="deep_share")(network.output)
    if wide is not None:
        logits = keras.layers.Add(name="joined")([logits, WideLogits(wide)(network.input)])
    return keras.Model(network.input, logits, name="served")


def build(
    settings: ModelSettings, size: int, prior: Floats, seed: int, *, embedding: Floats | None = None, odds: bool = False
) -> keras.Model:
    """Return the untrained network, `int32[B, T]` -> logits `float32[B, K]`.

    Args:
        settings: the architecture.
        size: how many ids the encoder gives (`Encoder.size`).
        prior: `float32[K]`, share of each label; the initial bias of the last layer.
        seed: of everything random in the layers.
        embedding: the initial one, `float32[size, D]`; None: random.
        odds: whether each label has a probability of its own, as in a label model.
    """
    layers = keras.layers
    ids = keras.Input((None,), dtype="int32", name="ids")
    read = WordDropout(settings.word_dropout, seed)(ids)
    embedded = layers.Embedding(
        size,
        settings.embedding,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=seed)
        if embedding is None
        else keras.initializers.Constant(embedding),
        name="embedding",
    )(read)
    embedded = layers.SpatialDropout1D(settings.embedding_dropout, seed=seed + 1)(embedded)
    random = Random(seed)  # noqa: S311 - seeds, no secret
    recurrent = _direction_layer(settings, random, "recurrent")
    if settings.bidirectional:
        # Bidirectional would copy the first layer with its seeds, and both directions would start alike. Both draw
        # after the layer above, so the weights of a seed stay the same as in earlier releases.
        forward, backward = (_direction_layer(settings, random, f"{way}_recurrent") for way in ("forward", "backward"))
        recurrent = layers.Bidirectional(forward, backward_layer=backward, name="recurrent")
    states = recurrent(embedded, mask=ops.not_equal(ids, PAD_ID))
    pooled = Pooling(settings.units, settings.bidirectional)(states, ids)
    pooled = layers.Dropout(settings.dropout, seed=seed + 2)(pooled)
    share = np.clip(prior, 1e-6, 1 - 1e-6) if odds else np.maximum(prior, 1e-6)
    bias = keras.initializers.Constant(np.log(share / (1 - share)) if odds else np.log(share))
    kernel = keras.initializers.GlorotUniform(_drawn(random))
    logits = layers.Dense(len(prior), kernel_initializer=kernel, bias_initializer=bias, name="logits")(pooled)
    return keras.Model(ids, logits, name="stars")


def _direction_layer(settings: ModelSettings, random: Random, name: str) -> Any:
    kernel, recurrent, dropout = (_drawn(random) for _ in range(3))
    return {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[settings.cell](
        settings.units,
        return_sequences=True,
        go_backwards=name.startswith("backward"),
        kernel_initializer=keras.initializers.GlorotUniform(kernel),
        recurrent_initializer=keras.initializers.Orthogonal(seed=recurrent),
        seed=dropout,
        name=name,
    )


def _drawn(random: Random) -> int:
    """Return a seed for an initialiser. Without it Keras uses Python's `random`, which other threads use too."""
    return random.randint(1, 10**9)


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction's weights, G gates (GRU: z, r, h; LSTM: i, f, c, o), in Keras' order and shapes."""

    kernel: Floats  # `float32[D, G*H]`
    recurrent: Floats  # `float32[H, G*H]`
    input_bias: Floats  # `float32[G*H]`, added to the input's projection
    recurrent_bias: Floats  # `float32[G*H]`, added to the state's projection (GRU with `reset_after`; zero for LSTM)


@dataclass(frozen=True, slots=True)
class Weights:
    """A trained network as arrays."""

    cell: Cell  # of the directions
    embedding: Floats  # `float32[V, D]`
    directions: tuple[Direction, ...]  # forward, then backward if there is one
    kernel: Floats  # `float32[3W, K]` of the last layer, scaled by the deep share
    bias: Floats  # `float32[K]` of the last layer, scaled likewise
    wide: Wide | None = None  # the wide part, scaled by its share; None: there is none


def weights_of(network: keras.Model, settings: ModelSettings) -> Weights:
    """Read a network's weights, before `join` or after it."""
    recurrent = network.get_layer("recurrent")
    parts = [recurrent.forward_layer, recurrent.backward_layer] if settings.bidirectional else [recurrent]
    kernel, bias = network.get_layer("logits").get_weights()
    layers = {layer.name: layer for layer in network.layers}
    share = np.float32(layers["deep_share"].scale if "deep_share" in layers else 1.0)
    return Weights(
        cell=settings.cell,
        embedding=network.get_layer("embedding").get_weights()[0],
        directions=tuple(_direction(part.get_weights()) for part in parts),
        kernel=kernel * share,
        bias=bias * share,
        wide=layers["wide"].wide if "wide" in layers else None,
    )


def _direction(arrays: list[Floats]) -> Direction:
    kernel, recurrent, bias = arrays
    if bias.ndim == 2:  # GRU, reset_after: one bias for the input's side and one for the state's
        return Direction(kernel, recurrent, bias[0], bias[1])
    return Direction(kernel, recurrent, bias, np.zeros_like(bias))
