"""The worker: reads reviews from Kafka, rates them in micro-batches, writes Redis and the output topic.

`from worker import Model` is the model alone, for programs of your own. Never imports the trainer, TensorFlow, Keras
or NLTK. Reading order: `run.app` (what is wired to what), `stream.pipeline` (the loop), `stream.ports`, `records`, then
the adapters in `kafka`, `redis` and `model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.model.predictor import Model

__all__ = ["Model"]


def __getattr__(name: str) -> Any:
    """Load `Model` when it is asked for: every command imports this package, and most need no model."""
    if name != "Model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worker.model.predictor import Model

    return Model
