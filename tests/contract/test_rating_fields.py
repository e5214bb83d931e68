"""A field of the rating is declared once: the topic, the Redis hash, `predict` and the JSON Schemas follow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import PATIENCE_S
from tests.contract.worlds import RedisStoreWorld

ROOT = Path(__file__).parents[2]
# Type and default, a value, and how the hash has it: one field of each kind. `probabilities` is the list.
PREDICTED: dict[str, tuple[str, Any, str]] = {
    "planted_text": ("str = 'nothing'", "d\u00e9j\u00e0, vu", "d\u00e9j\u00e0, vu"),
    "planted_whole": ("int = 0", 1234567890123456, "1234567890123456"),
    "planted_share": ("float = 0.0", 0.1875, "0.1875"),
    "planted_mark": ("bool = False", True, "1"),
    "planted_null": ("str | None = 'nothing'", None, ""),
}
OF_SOURCE: dict[str, tuple[str, Any, str]] = {"planted_of_source": ("str = 'nothing'", "here", "here")}


def plant(path: Path, after: str, fields: dict[str, tuple[str, Any, str]]) -> None:
    """Declare fields behind a line of a module."""
    source = path.read_text(encoding="utf-8")
    line = next(line for line in source.splitlines() if line.startswith(f"    {after}:"))
    declared = "\n".join([line, *(f"    {name}: {declaration}" for name, (declaration, _, _) in fields.items())])
    path.write_text(source.replace(line, declared), encoding="utf-8")


@pytest.fixture
def made(redis_world: RedisStoreWorld, tmp_path: Path) -> dict[str, Any]:
    """What a copy of `schemas` with more fields makes of a rating."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    plant(tmp_path / "schemas" / "prediction.py", "model_version", PREDICTED)
    plant(tmp_path / "schemas" / "rating.py", "source", OF_SOURCE)
    values = json.dumps({name: value for name, (_, value, _) in {**PREDICTED, **OF_SOURCE}.items()})
    where = (redis_world.url, redis_world.prefix, str(redis_world.form))
    subprocess.run(
        [sys.executable, "-m", "tests.fixtures.planted_fields", *where, values],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        check=True,
        timeout=PATIENCE_S,
    )
    found: dict[str, Any] = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    return found


def test_a_declared_field_is_in_everything_made_of_a_rating(made: dict[str, Any]) -> None:
    fields = {**PREDICTED, **OF_SOURCE}
    assert {name: made["topic"].get(name, "missing") for name in fields} == {
        name: value for name, (_, value, _) in fields.items()
    }
    assert {name: made["hash"].get(name, "missing") for name in fields} == {
        name: text for name, (_, _, text) in fields.items()
    }
    assert made["read from the topic"]
    assert made["read from the hash"]
    assert made["predict"].keys() >= PREDICTED.keys()
    assert made["schemas"]["rating"].keys() >= fields.keys()
    assert made["schemas"]["prediction"].keys() >= PREDICTED.keys()
