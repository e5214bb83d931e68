"""What training reports while it runs: each batch, each epoch, and Ctrl-C.

Owns the two types that the training loop and the screen share, so that the screen needs no TensorFlow. `network.fit`
reports, `console.Screen` prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Epoch:
    """The result of one pass over the data; `best` says whether its validation loss is the lowest so far."""

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    best: bool


class Watcher(Protocol):
    """Receives the progress of a training run."""

    def on_batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """`batch` of `batches` is done; `loss` is the mean of the epoch so far."""

    def on_epoch(self, epoch: Epoch) -> None:
        """An epoch is done and validated."""

    def on_interrupt(self, kept: Epoch | None) -> None:
        """Ctrl-C arrived; training ends with the weights of `kept`, None when no epoch is done yet."""
