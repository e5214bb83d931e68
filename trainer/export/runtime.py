"""The interpreter the trainer judges with: the maintained TFLite runtime, which is also the worker's default.

Owns its construction. Never imports TensorFlow, so a published version can be judged without it.
"""

from __future__ import annotations

from ai_edge_litert.interpreter import Interpreter as LiteRt

from schemas.inference import Interpreter


def open_interpreter(model: bytes) -> Interpreter:
    """Return an interpreter of a TFLite file, one thread, as the worker's.

    Raises:
        ValueError: the runtime refuses the file.
    """
    interpreter: Interpreter = LiteRt(model_content=model, num_threads=1)
    return interpreter
