from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION

PROGRAM = """
import os, sys
from pathlib import Path
from ai_edge_litert.interpreter import Interpreter
from schemas.runtime_notice import open_quietly

def make():
    os.write(2, b"a warning of the runtime\\n")
    return Interpreter(model_content=Path(sys.argv[1]).read_bytes(), num_threads=1)

opened = [open_quietly(make) if "quietly" in sys.argv else make() for _ in range(2)]
for interpreter in opened:
    interpreter.allocate_tensors()
os.write(2, b"after")
"""


def _stderr(*words: str) -> str:
    model = TOY_REGISTRY / TOY_VERSION / "model.tflite"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(model), *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_notice_of_the_delegate_is_dropped_and_nothing_else() -> None:
    assert "XNNPACK" in _stderr(), "the runtime writes it no more: delete schemas/runtime_notice.py"
    assert _stderr("quietly") == "a warning of the runtime\n" * 2 + "after"
