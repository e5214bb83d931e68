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
from trainer.data.dataset import load
from trainer.evaluation.baselines import floors
from trainer.settings import DataSettings, TrainSettings, recorded

KEPT = ROOT / "build" / "model_quality"
CODE = (
    *(f"schemas/{name}.py" for name in ("decision", "encoding", "inference")),
    *(f"trainer/{name}.py" for name in ("calibrate", "convert", "dataset", "fit", "model", "normalise")),
    *(f"trainer/{name}.py" for name in ("objectives", "parity", "rows", "vectors", "vocabulary", "wide")),
)
FLOORS_CODE = (
    *(f"schemas/{name}.py" for name in ("decision", "encoding")),
    *(f"trainer/{name}.py" for name in ("dataset", "evaluate", "floors", "rows")),
)

Found = dict[str, Any]


def kept(case: Case) -> Found | None:
    """Return what earlier runs of the same case found, its floors included."""
    model = _read(_key(case))
    if model is None or case.question != "default":
        return model and {**model, "floors": {}}
    beside = _read(_floors_key(case))
    return None if beside is None else {**model, "floors": beside}


def run(case: Case, say: Callable[[str], None]) -> None:
    """Train what is not remembered, fit the floors that are not, and remember both.

    Raises:
        RuntimeError: the trainer failed; with its last words.
    """
    if _read(_key(case)) is None:
        say(f"{case.title}: {sum(_train(case)['seconds'].values()):.0f} s")
    if case.question == "default" and _read(_floors_key(case)) is None:
        given = {"data": [DATA / name for flag, name in SETS[case.reviews] if flag == "--data"]}
        given["test_data"] = [DATA / name for flag, name in SETS[case.reviews] if flag == "--test-data"]
        _keep(_floors_key(case), floors(load(DataSettings.model_validate(given), case.seed)))
        say(f"{case.title}: floors")


def _train(case: Case) -> Found:
    """Run the trainer's command and remember its manifest's figures."""
    spent = _children_s()
    with tempfile.TemporaryDirectory(prefix="model-quality-") as registry:
        done = subprocess.run(
            [sys.executable, "-m", "trainer", "train", *_arguments(case, registry)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            # NLTK's corpora for the rows that need them, unless the machine has its own.
            env={"NLTK_DATA": str(DATA.parent / "nltk_data"), **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if done.returncode:
            raise RuntimeError(f"{case.title}: exit {done.returncode}: {done.stderr[-800:]}")
        manifest = json.loads(next(Path(registry).glob("*/manifest.json")).read_bytes())
    training = manifest["training"]
    found = {
        "title": case.title,
        "version": manifest["version"],
        "metrics": manifest["metrics"],
        "variant": manifest["variant"],
        "variants": training["variants"],
        "seconds": training["seconds"],
        "cpu_seconds": round(_children_s() - spent, 1),
        "shares": training["shares"],
        "decision": {"temperature": manifest["decision"]["temperature"]},
        "tested": manifest["data"]["test_rows"],
    }
    _keep(_key(case), found)
    return found


def _read(key: str) -> Found | None:
    path = KEPT / f"{key}.json"
    return json.loads(path.read_bytes()) if path.is_file() else None


def _keep(key: str, found: Found) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    beside = KEPT / f".{key}.new"
    beside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    beside.replace(KEPT / f"{key}.json")


def _arguments(case: Case, registry: str) -> list[str]:
    files = [part for flag, name in SETS[case.reviews] for part in (flag, str(DATA / name))]
    return [*files, "--registry", registry, "--channel", "none", "--no-texts", "--no-floors", *case.flags]


def _key(case: Case) -> str:
    data = [_digest(DATA / name) for name in case.files]
    code = [_digest(ROOT / name) for name in CODE]
    defaults = recorded(TrainSettings(data=[Path("any")]))
    return _hash([case.flags, data, code, defaults])


def _floors_key(case: Case) -> str:
    """Of the floors, which no flag of the model changes."""
    return _hash([case.files, case.seed, [_digest(ROOT / name) for name in FLOORS_CODE]])


def _hash(said: list[Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _children_s() -> float:
    """Return the processor time of finished children; unlike the wall clock it hardly knows who else is busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
