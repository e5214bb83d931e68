"""How long a training run is: passes over the data, rows a step.

Owns the plan and needs no TensorFlow. `fit` follows it; `warm_start` shortens it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.settings import FitSettings

# Small data gets smaller steps and more passes: 128 rows a step would leave too few steps.
EPOCHS, MOST_EPOCHS, STEPS = 4, 12, 400
BATCH_ROWS, FEWEST_BATCH_ROWS, STEPS_OF_EPOCH = 128, 16, 30


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a training run: passes over the data, rows a step, steps in total."""

    epochs: int
    batch_rows: int
    steps: int


def plan(settings: FitSettings, rows: int) -> Plan:
    """Return the plan for this number of training rows: from the settings, or by size where they are open."""
    size = settings.batch_rows or min(max(rows // STEPS_OF_EPOCH, FEWEST_BATCH_ROWS), BATCH_ROWS)
    steps = math.ceil(rows / size)
    epochs = settings.epochs or min(max(math.ceil(STEPS / steps), EPOCHS), MOST_EPOCHS)
    return Plan(epochs, size, steps * epochs)
