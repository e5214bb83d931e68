"""One bundle on both TFLite runtimes: tflite-runtime 2.14 (Python 3.11, NumPy 1) and its successor agree.

tflite-runtime has an environment of its own, built once from a hashed lock and cached, in which the whole worker runs,
as it does for a user who installs the extra `tflite-runtime`. `STARSTREAM_TEST_REGISTRY` adds a trained
bundle to the toy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import PATIENCE_S
from tests.benchmarks.processes import RowError
from tests.benchmarks.venvs import python_of
from tests.conftest import ROOT, TOY_REGISTRY, missing
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


def predict(python: str, runtime: str, registry: str, folder: Path, texts: list[str]) -> tuple[int, list[Any]]:
    """Rate texts with the worker of an environment; return its exit code and the rows."""
    source, target = folder / "in.jsonl", folder / f"{runtime}.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    files = ["--input", str(source), "--output", str(target)]
    done = subprocess.run(
        [python, "-m", "worker", "predict", *files, "--runtime", runtime, "--registry", registry],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode in {ExitCode.OK, ExitCode.INPUT}, done.stderr
    return done.returncode, [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("registry", registries())
def test_both_runtimes_agree(registry: str, tflite_python: str, tmp_path: Path) -> None:
    _, ours = predict(sys.executable, "litert", registry, tmp_path, TEXTS)
    _, theirs = predict(tflite_python, "tflite", registry, tmp_path, TEXTS)
    assert len(ours) == len(theirs) == len(TEXTS)
    shares = [np.array([row["probabilities"] for row in rows]) for rows in (ours, theirs)]
    assert np.abs(shares[0] - shares[1]).max() <= TOLERANCE
    assert [row["rating"] for row in ours] == [row["rating"] for row in theirs]


def test_both_runtimes_refuse_the_same_review(tflite_python: str, tmp_path: Path) -> None:
    texts = ["love", "kaboom", "bad"]
    for python, runtime in ((sys.executable, "litert"), (tflite_python, "tflite")):
        code, rows = predict(python, runtime, str(TOY_REGISTRY), tmp_path, texts)
        assert (code, [(row["row"], row["rating"]) for row in rows]) == (ExitCode.INPUT, [(1, 5), (3, 1)])


def test_a_runtime_that_is_not_installed_ends_the_command_with_one_line(tflite_python: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("love\n")
    command = [tflite_python, "-m", "worker", "predict", "--input", str(tmp_path / "in.jsonl")]
    done = subprocess.run(
        [*command, "--runtime", "litert", "--registry", str(TOY_REGISTRY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == ExitCode.MODEL
    assert done.stderr.startswith("starstream-worker: WORKER_RUNTIME=litert: ")
    assert len(done.stderr.splitlines()) == 1
