"""Training: batches of similar length, AdamW, averaged weights, early stopping on validation.

Owns the loop and its randomness. Never reads files and never prints: a `Watcher` receives its progress. `calibrate` is
next.

Same seed, same data, same machine: same weights, bit for bit (`enable_op_determinism`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from schemas.encoding import Ids
from schemas.inference import length_groups, pad
from trainer.data.targets import Targets, matrix
from trainer.network.losses import drawn_rows, loss_of, row_weights
from trainer.network.plan import plan
from trainer.progress import Epoch, Watcher
from trainer.settings import FitSettings

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Predictor = Callable[[Sequence[Ids]], Floats]

# Batches are cut from pools of this many batches, sorted by length: little padding, and still a random order.
POOL_BATCHES = 50
AVERAGE_EVERY = 5  # steps; averaging reads every weight

WARM_UP = 0.1  # share of the steps in which the step size rises
LAST_SHARE = 0.02  # of the peak step size, at the end of the cosine
CLIP_NORM = 1.0  # norm of all gradients (Pascanu et al. 2013)


@dataclass(frozen=True, slots=True)
class Examples:
    """Encoded reviews: N rows of `int32[n]`, and their targets."""

    rows: Sequence[Ids]
    targets: Targets

    def cut(self, most: int) -> Examples:
        """Return the same with longer rows cut to `most` ids, half from the beginning and half from the end."""
        head = most - most // 2
        rows = [row if len(row) <= most else np.concatenate([row[:head], row[head - most :]]) for row in self.rows]
        return Examples(rows, self.targets)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and Keras, and make TensorFlow's kernels deterministic, for the whole process."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    network: keras.Model, train: Examples, validation: Examples, settings: FitSettings, watcher: Watcher
) -> list[Epoch]:
    """Train in place, and return the epochs in order; the network ends with the weights of the best by validation.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first epoch was done; after it, Ctrl-C keeps the best epoch so far.
    """
    learner = _Learner(network, train, settings)
    predict = predictor(network)
    random = np.random.default_rng(settings.seed)
    epochs: list[Epoch] = []
    best: Epoch | None = None
    try:
        for number in range(1, learner.plan.epochs + 1):
            started = monotonic()
            loss = learner.run_epoch(number, random, watcher)
            with learner.averaged():
                validation_loss, accuracy = _validate(predict, validation, settings)
                improved = best is None or validation_loss < best.validation_loss
                if improved:
                    learner.keep()
            epoch = Epoch(number, loss, validation_loss, accuracy, monotonic() - started, improved)
            epochs.append(epoch)
            best = epoch if improved else best
            watcher.on_epoch(epoch)
            if best is not None and number - best.number >= settings.patience:
                break
    except KeyboardInterrupt:
        watcher.on_interrupt(best)
        if best is None:
            raise
    learner.restore()
    return epochs


class WarmCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # keras has no types
    """Step size: a linear rise, then half a cosine (Loshchilov & Hutter 2017) down to a small share of the peak."""

    def __init__(self, peak: float, steps: int) -> None:
        self.peak = peak
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Return the step size at a step, a float32 scalar."""
        done = keras.ops.cast(step, "float32") / self.steps
        falling = 0.5 * (1 + keras.ops.cos(math.pi * keras.ops.minimum(done, 1.0)))
        return self.peak * keras.ops.minimum(done / WARM_UP, keras.ops.maximum(falling, LAST_SHARE))


def batches(rows: Indices, lengths: npt.NDArray[np.int64], size: int, random: np.random.Generator) -> list[Indices]:
    """Cut an epoch's rows into batches of similar length, in random order: every row once, `intp[<= size]` each."""
    shuffled = random.permutation(rows)
    pool = size * POOL_BATCHES
    found: list[Indices] = []
    for start in range(0, len(shuffled), pool):
        part = shuffled[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        found.extend(part[at : at + size] for at in range(0, len(part), size))
    return [found[at] for at in random.permutation(len(found))]


def predictor(network: keras.Model) -> Predictor:
    """Return the function from N rows `int32[n]` to the Keras network's logits `float32[N, K]`, in their order."""
    classes = int(network.output_shape[-1])
    signature = [tf.TensorSpec([None, None], tf.int32)]
    run = tf.function(lambda ids: network(ids, training=False), input_signature=signature, autograph=False)

    def predict(rows: Sequence[Ids]) -> Floats:
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        logits = np.empty((len(rows), classes), dtype=np.float32)
        for group in length_groups(lengths, max_rows=256):
            logits[group] = run(pad([rows[row] for row in group], lengths[group])).numpy()
        return logits

    return predict


def _validate(predict: Predictor, examples: Examples, settings: FitSettings) -> tuple[float, float]:
    logits = predict(examples.rows)
    true = matrix(examples.targets, logits.shape[1])
    loss = float(np.mean(loss_of(settings, examples.targets)(true, logits)))
    # Of a label model: the share of texts that have the label it finds likeliest.
    return loss, float(true[np.arange(len(true)), logits.argmax(axis=1)].mean())


class _Learner:
    """A network with its optimiser, the running average of its weights, and the best weights so far."""

    def __init__(self, network: keras.Model, train: Examples, settings: FitSettings) -> None:
        self._network = network
        self._train = train
        self._settings = settings
        self._classes = int(network.output_shape[-1])
        # Resampling draws more rows than there are, and the schedule must count them.
        drawn = len(drawn_rows(settings, train.targets, np.random.default_rng(0)))
        self.plan = plan(settings, drawn)
        self._weights = row_weights(settings, train.targets, self._classes)
        self._lengths = np.fromiter(map(len, train.rows), dtype=np.int64, count=len(train.rows))
        self._variables = network.trainable_variables
        self._average = [tf.Variable(variable) for variable in self._variables]
        self._best: list[Floats] | None = None
        self._steps = 0
        self._step = self._compile()

    def _compile(self) -> Any:
        optimizer = keras.optimizers.AdamW(
            WarmCosine(self._settings.learning_rate, self.plan.steps),
            weight_decay=self._settings.weight_decay,
            global_clipnorm=CLIP_NORM,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(self._variables)
        loss_of_rows = loss_of(self._settings, self._train.targets)

        def step(ids: Any, targets: Any, weights: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(weights * loss_of_rows(targets, self._network(ids, training=True)))
            optimizer.apply_gradients(zip(tape.gradient(loss, self._variables), self._variables, strict=True))
            return loss

        signature = [
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, self._classes], tf.float32),
            tf.TensorSpec([None], tf.float32),
        ]
        return tf.function(step, input_signature=signature, autograph=False)

    def run_epoch(self, number: int, random: np.random.Generator, watcher: Watcher) -> float:
        """Take one pass over the data and return its mean loss."""
        drawn = drawn_rows(self._settings, self._train.targets, random)
        cuts = batches(drawn, self._lengths, self.plan.batch_rows, random)
        total = 0.0
        for done, rows in enumerate(cuts, start=1):
            targets = matrix(self._train.targets[rows], self._classes)
            ids = pad([self._train.rows[row] for row in rows], self._lengths[rows])
            total += float(self._step(ids, targets, self._weights[rows]))
            self._steps += 1
            if self._settings.averaging and self._steps % AVERAGE_EVERY == 0:
                self._fold_in()
            watcher.on_batch(number, done, len(cuts), total / done)
        return total / len(cuts)

    def _fold_in(self) -> None:
        """Move the average towards the weights (Polyak & Juditsky 1992), faster during the first steps."""
        folds = self._steps / AVERAGE_EVERY
        decay = min(self._settings.averaging**AVERAGE_EVERY, (1 + folds) / (10 + folds))
        for average, variable in zip(self._average, self._variables, strict=True):
            average.assign(decay * average + (1 - decay) * variable.value)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the network during the block."""
        if not self._settings.averaging:
            yield
            return
        raw = [variable.numpy() for variable in self._variables]
        _assign(self._variables, self._average)
        try:
            yield
        finally:
            _assign(self._variables, raw)

    def keep(self) -> None:
        """Store the network's current weights as the best."""
        self._best = [variable.numpy() for variable in self._variables]

    def restore(self) -> None:
        """Put the best weights back."""
        if self._best is not None:
            _assign(self._variables, self._best)


def _assign(variables: Sequence[Any], values: Sequence[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
