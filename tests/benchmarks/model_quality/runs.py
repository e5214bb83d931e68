"""Runs each case once and keeps its result, so that a table of an hour can be interrupted and continued.

Owns the cache: `build/model_quality/<key>.json`, with a key of the command, the data and the code that makes a model.
A change of any of them runs the case again; a change of the report does not.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.benchmarks.model_quality import unseen
from tests.benchmarks.model_quality.cases import DATA, LABELS, ROOT, SAMPLE, SETS, Case
from trainer.data.dataset import load
from trainer.data.sample import write_sample
from trainer.evaluation.baselines import fit_baselines
from trainer.settings import DataSettings, TrainSettings, cache_folder, recorded

KEPT = ROOT / "build" / "model_quality"
WITH_BASELINES = frozenset({"default", LABELS})
# Every file of these two is part of a key, a new one too, but for folders and files that change no model and no figure.
PACKAGES = ("schemas", "trainer")
NO_MODEL = (
    *(f"schemas/{name}" for name in ("command_line", "output", "personal", "reasons", "starter", "__main__.py")),
    *(f"schemas/{name}.py" for name in ("channels", "dead_letter", "feedback", "rating", "review", "storage")),
    *(f"trainer/{name}" for name in ("collect", "commands", "publish", "registry")),
    *(f"trainer/{name}.py" for name in ("__main__", "console", "errors", "progress")),
    *(f"trainer/evaluation/{name}.py" for name in ("behaviour", "doubts", "gate", "groups", "label_noise", "tables")),
)
# What fits no baseline, besides.
NO_BASELINE = (
    *(f"trainer/{name}" for name in ("export", "network", "text", "train.py")),
    *("schemas/inference.py", "schemas/batch"),
)

Found = dict[str, Any]


def kept(case: Case) -> Found | None:
    """Return the kept result of a case with its baselines, None when either is missing."""
    model = _read(_key(case))
    if model is None or case.question not in WITH_BASELINES:
        return model and {**model, "baselines": {}}
    baselines = _read(_baselines_key(case))
    return None if baselines is None else {**model, "baselines": baselines}


def run(case: Case, say: Callable[[str], None]) -> None:
    """Train the model and fit the baselines, each unless its result is kept, and keep both results.

    Raises:
        RuntimeError: the trainer failed; with the end of its output.
    """
    for name in case.files:
        if name == SAMPLE:
            write_sample(path_of(name), cache_folder())
    if _read(_key(case)) is None:
        say(f"{case.title}: {sum(_train(case)['seconds'].values()):.0f} s")
    if case.question in WITH_BASELINES and _read(_baselines_key(case)) is None:
        settings: dict[str, Any] = {"task": "labels" if case.question == LABELS else "stars"}
        settings |= {"data": [DATA / name for flag, name in SETS[case.reviews] if flag == "--data"]}
        settings["test_data"] = [DATA / name for flag, name in SETS[case.reviews] if flag == "--test-data"]
        _keep(_baselines_key(case), fit_baselines(load(DataSettings.model_validate(settings), case.seed)))
        say(f"{case.title}: baselines")


def train(registry: Path, flags: Sequence[str]) -> tuple[dict[str, Any], float]:
    """Run `train` into a registry and return the newest manifest and the CPU seconds.

    Raises:
        RuntimeError: the trainer failed; with the end of its output.
    """
    before = _children_cpu_s()
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", "--registry", str(registry), "--no-texts", "--no-baselines", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        # NLTK's corpora for the cases that need them, unless the environment names others.
        env={"NLTK_DATA": str(DATA.parent / "nltk_data"), **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(flags)}: exit {done.returncode}: {done.stderr[-800:]}")
    manifest: dict[str, Any] = json.loads(max(registry.glob("*/manifest.json")).read_bytes())
    return manifest, _children_cpu_s() - before


def path_of(name: str) -> Path:
    """Return where a file of the cases is."""
    return KEPT / name if name == SAMPLE else DATA / name


def code(left_out: Sequence[str] = NO_MODEL) -> list[Path]:
    """Return the files that a key covers: all of the packages, but for those left out."""
    out = {ROOT / name for name in left_out}
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in found if not out.intersection((path, *path.parents)))


def _train(case: Case) -> Found:
    with tempfile.TemporaryDirectory(prefix="model-quality-") as folder:
        registry = Path(folder) / "registry"
        files = [str(part) for flag, path in unseen.input_of(case, Path(folder), path_of) for part in (flag, path)]
        manifest, cpu_s = train(registry, [*files, "--channel", "none", *case.flags])
        found_besides = unseen.judged(case, registry / manifest["version"], Path(folder), path_of)
    training = manifest["training"]
    found = {
        "title": case.title,
        "version": manifest["version"],
        "metrics": manifest["metrics"],
        "variant": manifest["variant"],
        "variants": training["variants"],
        "seconds": training["seconds"],
        "cpu_seconds": round(cpu_s, 1),
        "shares": training["shares"],
        "decision": {"temperature": manifest["decision"]["temperature"]},
        "tested": manifest["data"]["test_rows"],
        "classes": training["classes"],
        **found_besides,
    }
    _keep(_key(case), found)
    return found


def _read(key: str) -> Found | None:
    path = KEPT / f"{key}.json"
    return json.loads(path.read_bytes()) if path.is_file() else None


def _keep(key: str, found: Found) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    temporary = KEPT / f".{key}.new"
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.replace(KEPT / f"{key}.json")


def _key(case: Case) -> str:
    """Return the key of a case's model; the sample's hash is pinned in the code."""
    data = [_digest(path_of(name)) for name in case.files if name != SAMPLE]
    defaults = recorded(TrainSettings(data=[Path("any")]))
    return _hash([case.question, case.name, case.flags, data, _digests(NO_MODEL), defaults])


def _baselines_key(case: Case) -> str:
    """Return the key of the baselines, which depend on no flag of the model."""
    return _hash([case.files, case.seed, _digests((*NO_MODEL, *NO_BASELINE))])


@cache
def _digests(left_out: tuple[str, ...]) -> list[str]:
    return [f"{path.relative_to(ROOT)} {_digest(path)}" for path in [*code(left_out), Path(unseen.__file__)]]


def _hash(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _children_cpu_s() -> float:
    """Return the CPU time of finished children; unlike wall time it hardly depends on the machine's load."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
