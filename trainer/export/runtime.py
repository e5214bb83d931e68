"""The interpreter of the trainer: the maintained TFLite runtime, which is also the worker's default.

Owns its construction. Never imports TensorFlow, so a published version can be evaluated without it.
"""

from __future__ import annotations

from schemas.inference import Interpreter, open_quietly


def open_interpreter(model: bytes) -> Interpreter:
    """Return an interpreter of a TFLite file with one thread, as in the worker.

    Raises:
        ValueError: the runtime refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter as LiteRt  # `verify` works where only tflite-runtime is

    return open_quietly(lambda: LiteRt(model_content=model, num_threads=1))
