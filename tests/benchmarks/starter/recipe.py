"""How the starter is trained and packed.

Owns its data, its flags and its size. The trainer does the work; what the package holds is made small here: fewer words
than a model of its own would have, int8, and the weights of a warm start in half precision.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.bundle import MANIFEST_FILE
from schemas.starter import Starter
from tests.benchmarks.model_quality.cases import DATA, ROOT, UNLABELLED
from tests.benchmarks.starter.sentences import write_sentences

FILES: Final = ("app_reviews.csv", "other_apps.csv.gz", "clothing_reviews.csv.gz")
SENTENCES: Final = "own_sentences.csv"
FLAGS: Final = (
    *("--vocabulary-size", "16000", "--min-count", "4", "--embedding", "64", "--wide-pairs", str(2**16)),
    *("--variant", "int8", "--channel", "none", "--no-texts", "--no-baselines"),
)


def train() -> Starter:
    """Train it and return what is packed; takes minutes.

    Raises:
        CalledProcessError: the trainer failed, and has said why.
    """
    files = [str(DATA / name) for name in FILES]
    with tempfile.TemporaryDirectory(prefix="starter-") as folder:
        registry = Path(folder)
        files.append(str(write_sentences(registry / SENTENCES)))
        words = [*files, "--unlabelled", str(DATA / UNLABELLED), *FLAGS]
        command = [sys.executable, "-m", "trainer", "train", *words, "--registry", folder]
        subprocess.run(command, cwd=ROOT, check=True)
        (manifest,) = registry.glob("*/manifest.json")
        version = manifest.parent.name
        found = {path.name: path.read_bytes() for path in manifest.parent.iterdir()}
        return packed(version, found, (registry / "weights" / f"{version}.npz").read_bytes())


def packed(version: str, files: dict[str, bytes], weights: bytes) -> Starter:
    """Return a version with its training weights in half precision, and their hash in the manifest."""
    with np.load(io.BytesIO(weights), allow_pickle=False) as found:
        halves = {name: found[name].astype(np.float16) for name in found.files}
    buffer = io.BytesIO()
    np.savez(buffer, **halves)
    small = buffer.getvalue()
    manifest: dict[str, Any] = json.loads(files[MANIFEST_FILE])
    manifest["training"]["weights"].update(sha256=hashlib.sha256(small).hexdigest(), size_bytes=len(small))
    content = json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n"
    return Starter(version, {**files, MANIFEST_FILE: content}, small)
