"""Keeps the TFLite runtime's notice of its delegate out of a program's stderr.

Owns that one line: "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.", which the runtime's C++ writes to file
descriptor 2 when a process first allocates an interpreter's tensors. It has no level, no setting and no callback to
turn it off, and the worker's stderr holds JSON lines only.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from typing import Final

from schemas.inference import Interpreter

NOTICE: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_made: Final = itertools.count()


def open_quietly(make: Callable[[], Interpreter]) -> Interpreter:
    """Return the interpreter that `make` makes; the notice of the process's first one is dropped.

    Meanwhile, for a millisecond, file descriptor 2 leads into a file, for the whole process; anything but the notice is
    written to stderr afterwards.
    """
    if next(_made):
        return make()
    try:
        stderr = os.dup(2)
    except OSError:  # closed, so there is nothing to keep clean
        return make()
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            interpreter = make()
            interpreter.allocate_tensors()
            return interpreter
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            aside.seek(0)
            os.write(2, b"".join(line for line in aside if line.rstrip() != NOTICE))
