"""The TFLite runtime: ai-edge-litert, or tflite-runtime where that is what is installed.

Owns the choice and the interpreter's options. Both packages have the same `Interpreter`; no other module knows which
one is installed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

from schemas.bundle import InterpreterFactory
from schemas.inference import Interpreter, open_quietly
from worker.errors import ModelError
from worker.settings import Runtime

_MODULES = {
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "tflite": ("tflite_runtime.interpreter", "tflite-runtime"),
}


def load_runtime(runtime: Runtime = "auto") -> tuple[str, InterpreterFactory]:
    """Return the runtime's name and version, and a function that makes an interpreter from the bytes of a model.

    An interpreter has one thread: the graphs are small, and more cores are used by more processes.

    Raises:
        ModelError: the chosen runtime is not installed.
    """
    for name in ("litert", "tflite") if runtime == "auto" else (runtime,):
        module_name, distribution = _MODULES[name]
        try:
            module: Any = importlib.import_module(module_name)
        except ImportError as error:
            if runtime == "auto" and name == "litert":
                continue
            raise ModelError(
                f"WORKER_RUNTIME={runtime}: no TFLite runtime: pip install ai-edge-litert, "
                f"or tflite-runtime on Python 3.11 ({error})"
            ) from error

        def interpreter(model: bytes, make: Any = module.Interpreter) -> Interpreter:
            return open_quietly(lambda: make(model_content=model, num_threads=1))

        return f"{distribution} {importlib.metadata.version(distribution)}", interpreter
    raise AssertionError("unreachable: the last candidate raises")
