"""What both programs do with their output, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("words", [("--help",), ("completion", "bash")], ids=" ".join)
@pytest.mark.parametrize("program", ["worker", "trainer"])
def test_a_reader_that_has_seen_enough_is_no_error(program: str, words: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as closed:
        command = [sys.executable, "-m", program, *words]
        done = subprocess.run(command, cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
