"""Rules of the code base that no linter knows, held by reading the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKER = sorted((ROOT / "worker").rglob("*.py"))
UNIT = sorted((ROOT / "tests" / "unit").rglob("test_*.py"))
CORE = [*sorted((ROOT / "worker" / "stream").rglob("*.py")), ROOT / "worker" / "records.py"]
ROOMS = ("schemas", "worker", "trainer")
PRODUCT = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
HEAVY = ("tensorflow", "keras", "nltk", "sklearn", "matplotlib", "jinja2", "trainer", "pandas")


def calls(path: Path) -> Iterator[str]:
    """Yield the dotted name of each attribute and call in a file: `os.environ`, `time.sleep`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def imports(path: Path) -> Iterator[str]:
    """Yield the modules a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("paths", [WORKER, UNIT, CORE, PRODUCT])
def test_a_rule_looks_at_files(paths: list[Path]) -> None:
    """A rule over an empty list would hold whatever the code does."""
    assert len(paths) > 5
    assert all(path.is_file() for path in paths)


def test_files_and_folders_stay_small() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in PRODUCT}
    assert {name: count for name, count in lines.items() if count > 300} == {}
    folders = Counter(path.parent for path in PRODUCT if path.name != "__init__.py")
    assert {folder.name: count for folder, count in folders.items() if count > 15} == {}


def test_environment_is_read_in_settings_only() -> None:
    """The supervisor hands its own on to the children, as it is."""
    readers = [path for path in WORKER if {"os.environ", "os.getenv"} & set(calls(path))]
    assert names(readers) == ["worker/environment.py", "worker/run/supervisor.py"]


def test_the_core_asks_the_clock_it_is_given() -> None:
    assert names([path for path in CORE if {"time", "datetime"} & set(imports(path))]) == []


def test_unit_tests_neither_mock_nor_sleep() -> None:
    mocking = [path for path in UNIT if {"unittest.mock", "mock", "pytest_mock"} & set(imports(path))]
    sleeping = [path for path in UNIT if "time.sleep" in set(calls(path))]
    assert (names(mocking), names(sleeping)) == ([], [])


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that are loaded once an interpreter of its own has run some code."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("worker.run.app, worker.run.supervisor, worker.commands.check", (*HEAVY, "opentelemetry", "grpc")),
        ("worker.commands.predict, worker.__main__", (*HEAVY, "kafka", "confluent_kafka")),
        ("worker", (*HEAVY, "numpy", "pydantic", "fsspec", "ai_edge_litert", "prometheus_client")),
        ("worker; worker.Model", (*HEAVY, "kafka", "redis", "prometheus_client", "rich")),
    ],
)
def test_the_worker_loads_nothing_heavy_and_predict_no_kafka_client(modules: str, unwanted: tuple[str, ...]) -> None:
    loaded = {name.partition(".")[0] for name in modules_after(f"import {modules}")}
    assert loaded & set(unwanted) == set()


def test_another_programs_metrics_are_left_alone_by_an_import_of_the_model() -> None:
    code = "import os; os.environ['PROMETHEUS_MULTIPROC_DIR'] = '/of/another'; from worker import Model"
    assert "prometheus_client" not in modules_after(f"{code}; assert os.environ['PROMETHEUS_MULTIPROC_DIR']")


def test_worker_on_confluent_loads_no_kafka_python() -> None:
    """Except for a shadow or feedback topic: the wiring imports it when one is set."""
    files = sorted((ROOT / "worker" / "kafka" / "confluent").glob("[a-z]*.py"))
    assert "producer.py" in {path.name for path in files}
    modules = ["worker.run.app", "worker.kafka.delivery", *(f"worker.kafka.confluent.{path.stem}" for path in files)]
    loaded = modules_after(f"import {', '.join(modules)}")
    assert "confluent_kafka" in loaded
    assert sorted(name for name in loaded if name.partition(".")[0] == "kafka") == []


def test_every_setting_of_the_worker_is_used() -> None:
    from worker.settings import WorkerSettings

    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKER if path.name != "settings.py")
    used = {*re.findall(r"(?:settings|self)\.(\w+)", text)}
    assert [name for name in WorkerSettings.model_fields if name not in used] == []
