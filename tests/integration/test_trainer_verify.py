"""`trainer verify` tries every TFLite runtime that is installed: here in an environment with tflite-runtime alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import PATIENCE_S
from tests.benchmarks.processes import RowError
from tests.benchmarks.venvs import python_of
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION, missing
from trainer.errors import Exit


@pytest.fixture(scope="module")
def other_python() -> str:
    try:
        return python_of("tflite", version=(3, 11))
    except RowError as error:
        missing(str(error))


def _verify(python: str, registry: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "trainer", "verify", "--registry", str(registry)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_verify_replays_the_golden_set_on_tflite_runtime(other_python: str, tmp_path: Path) -> None:
    done = _verify(other_python, TOY_REGISTRY)
    assert done.returncode == Exit.OK, done.stderr
    assert "tflite-runtime 2.14" in done.stdout
    assert "replays 5 golden" in done.stdout
    assert done.stderr.endswith("not installed, so not checked: ai-edge-litert\n")
    shutil.copytree(TOY_REGISTRY, tmp_path / "models")
    (tmp_path / "models" / TOY_VERSION / "model.tflite").write_bytes(b"half")
    assert _verify(other_python, tmp_path / "models").returncode == Exit.REGISTRY
