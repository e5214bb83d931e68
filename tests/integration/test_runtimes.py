"""One bundle on both TFLite runtimes: tflite-runtime 2.14 (Python 3.11, NumPy 1) and its successor agree.

tflite-runtime has an environment of its own, built once from a hashed lock and cached, in which the whole worker and
`trainer verify` run, as for a user who installs the extra `tflite-runtime`. `STARSTREAM_TEST_REGISTRY` adds a trained
bundle to the toy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import PATIENCE_S
from tests.benchmarks.processes import RowError
from tests.benchmarks.venvs import python_of
from tests.conftest import ROOT, TOY_REGISTRY, TOY_VERSION, missing
from trainer.errors import Exit
from worker.errors import ExitCode

TOLERANCE = 1e-3
TEXTS = [
    "love it, best app ever",
    "worst app",
    "bad but good",
    "not good, not bad",
    "sooo slow!!! it crashes 😡😡",
    "ok",
    "Отличное приложение 🙂",
    *(" ".join(["great app"] * length) for length in (1, 7, 30, 200)),
]


@pytest.fixture(scope="module")
def tflite_python() -> str:
    """The interpreter of an environment with tflite-runtime and without its successor."""
    try:
        return python_of("tflite", version=(3, 11))
    except RowError as error:
        missing(str(error))


def registries() -> list[str]:
    trained = os.environ.get("STARSTREAM_TEST_REGISTRY")
    return [str(TOY_REGISTRY), *([trained] if trained else [])]


def command(python: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of ours in an environment."""
    return subprocess.run(
        [python, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def predict(python: str, runtime: str, registry: str, folder: Path, texts: list[str]) -> tuple[int, list[Any]]:
    """Rate texts with the worker of an environment; return its exit code and the rows."""
    source, target = folder / "in.jsonl", folder / f"{runtime}.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    files = ["--input", str(source), "--output", str(target)]
    done = command(python, "worker", "predict", *files, "--runtime", runtime, "--registry", registry)
    assert done.returncode in {ExitCode.OK, ExitCode.INPUT}, done.stderr
    return done.returncode, [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("registry", registries())
def test_both_runtimes_agree_and_refuse_the_same_review(registry: str, tflite_python: str, tmp_path: Path) -> None:
    texts = [*TEXTS, "kaboom"] if registry == str(TOY_REGISTRY) else TEXTS
    ours = predict(sys.executable, "litert", registry, tmp_path, texts)
    theirs = predict(tflite_python, "tflite", registry, tmp_path, texts)
    for code, rows in (ours, theirs):
        assert code == (ExitCode.OK if texts is TEXTS else ExitCode.INPUT)
        assert [row["row"] for row in rows] == list(range(1, len(TEXTS) + 1))
    shares = [np.array([row["probabilities"] for row in rows]) for _, rows in (ours, theirs)]
    assert np.abs(shares[0] - shares[1]).max() <= TOLERANCE
    assert [row["rating"] for row in ours[1]] == [row["rating"] for row in theirs[1]]


def test_a_runtime_that_is_not_installed_ends_the_command_with_one_line(tflite_python: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("love\n")
    words = ["--input", str(tmp_path / "in.jsonl"), "--runtime", "litert", "--registry", str(TOY_REGISTRY)]
    done = command(tflite_python, "worker", "predict", *words)
    assert done.returncode == ExitCode.MODEL
    assert done.stderr.startswith("starstream-worker: WORKER_RUNTIME=litert: ")
    assert len(done.stderr.splitlines()) == 1


def test_verify_replays_the_golden_set_on_tflite_runtime(tflite_python: str, tmp_path: Path) -> None:
    done = command(tflite_python, "trainer", "verify", "--registry", str(TOY_REGISTRY))
    assert done.returncode == Exit.OK, done.stderr
    assert "tflite-runtime 2.14" in done.stdout
    assert "replays 5 golden" in done.stdout
    assert done.stderr.endswith("not installed, so not checked: ai-edge-litert\n")
    shutil.copytree(TOY_REGISTRY, tmp_path / "models")
    (tmp_path / "models" / TOY_VERSION / "model.tflite").write_bytes(b"half")
    assert (
        command(tflite_python, "trainer", "verify", "--registry", str(tmp_path / "models")).returncode == Exit.REGISTRY
    )
