"""Runs a case once and remembers what came out, so that a table of an hour can be stopped and taken up again.

Owns the cache: `build/model_quality/<key>.json`, the key being of the command, the data and the code that makes a
model. A change of any of them measures anew; a change of the report does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tests.benchmarks.model_quality.cases import DATA, ROOT, SETS, Case
from trainer.settings import TrainSettings, recorded

KEPT = ROOT / "build" / "model_quality"
CODE = (
    *(f"schemas/{name}.py" for name in ("decision", "encoding", "inference")),
    *(f"trainer/{name}.py" for name in ("calibrate", "convert", "dataset", "fit", "floors", "model", "normalise")),
    *(f"trainer/{name}.py" for name in ("objectives", "parity", "rows", "vectors", "vocabulary", "wide")),
)

Found = dict[str, Any]


def kept(case: Case) -> Found | None:
    """Return what an earlier run of the same case found."""
    path = KEPT / f"{_key(case)}.json"
    return json.loads(path.read_bytes()) if path.is_file() else None


def run(case: Case, say: Callable[[str], None]) -> Found:
    """Run a case and remember it.

    Raises:
        RuntimeError: the trainer failed; with its last words.
    """
    key = _key(case)
    spent = _children_s()
    with tempfile.TemporaryDirectory(prefix="model-quality-") as registry:
        done = subprocess.run(
            [sys.executable, "-m", "trainer", "train", *_arguments(case, registry)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if done.returncode:
            raise RuntimeError(f"{case.title}: exit {done.returncode}: {done.stderr[-800:]}")
        manifest = json.loads(next(Path(registry).glob("*/manifest.json")).read_bytes())
    training = manifest["training"]
    found = {
        "title": case.title,
        "version": manifest["version"],
        "metrics": manifest["metrics"],
        "floors": manifest["floors"],
        "variant": manifest["variant"],
        "variants": training["variants"],
        "seconds": training["seconds"],
        "cpu_seconds": round(_children_s() - spent, 1),
        "shares": training["shares"],
        "decision": {"temperature": manifest["decision"]["temperature"]},
        "tested": manifest["data"]["test_rows"],
    }
    KEPT.mkdir(parents=True, exist_ok=True)
    beside = KEPT / f".{key}.new"
    beside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    beside.replace(KEPT / f"{key}.json")
    say(f"{case.title}: {sum(found['seconds'].values()):.0f} s")
    return found


def _arguments(case: Case, registry: str) -> list[str]:
    files = [part for flag, name in SETS[case.reviews] for part in (flag, str(DATA / name))]
    floors = [] if case.question == "default" else ["--no-floors"]
    return [*files, "--registry", registry, "--channel", "none", "--no-texts", *floors, *case.flags]


def _key(case: Case) -> str:
    data = [_digest(DATA / name) for name in case.files]
    code = [_digest(ROOT / name) for name in CODE]
    floors = case.question == "default"
    defaults = recorded(TrainSettings(data=[Path("any")]))
    said = json.dumps([case.flags, floors, data, code, defaults], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _children_s() -> float:
    """Return the processor time of finished children; unlike the wall clock it hardly knows who else is busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
