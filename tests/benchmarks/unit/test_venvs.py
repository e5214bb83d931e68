"""The environments of rows that cannot run in ours."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.benchmarks.venvs import LOCKS
from tests.conftest import ROOT


def needed(requirement: Requirement) -> set[str]:
    """Return the names of a package and of those that its extras bring."""
    names: set[str] = {canonicalize_name(requirement.name)}
    for line in importlib.metadata.requires(requirement.name) or ():
        brought = Requirement(line)
        if brought.marker is not None and "extra" in str(brought.marker):
            asked = any(brought.marker.evaluate({"extra": extra}) for extra in requirement.extras)
            names |= {canonicalize_name(brought.name)} if asked else set()
    return names


def test_the_worker_on_tflite_runtime_has_all_that_it_imports() -> None:
    """Its row is run by few, and failed each time the worker had begun to import something."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(line) for line in project["dependencies"]]
    names = set().union(*map(needed, requirements))
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (LOCKS / "tflite.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert names - {"ai-edge-litert"} - set(map(canonicalize_name, locked)) == set()
