"""The distribution: its name and version, what the wheel holds, and how every text says to install it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from schemas import __version__
from tests.deploy.assets import ROOT

ROOMS = ("schemas", "worker", "trainer")
# Folders that hold texts of ours, and the files at the top.
TEXTS = (*ROOMS, "deploy", "tests", ".ci")
SUFFIXES = {".py", ".md", ".toml", ".yml", ".yaml", ".sh", ".j2", ""}


def texts() -> dict[Path, str]:
    """Every file of this repository that a person reads, this one left out."""
    paths = [*ROOT.iterdir(), *(path for folder in TEXTS for path in (ROOT / folder).rglob("*"))]
    wanted = [path for path in paths if path.is_file() and not path.is_symlink() and path.suffix in SUFFIXES]
    return {path: path.read_text(encoding="utf-8") for path in wanted if path != Path(__file__)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as the images build it: from a copy, so that no old `build/` gets in and none is left here."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for room in (*ROOMS, "deploy"):  # with deploy, so that leaving it out is pyproject's doing
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(source)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    return zipfile.ZipFile(built)


def test_wheel_has_the_name_and_version_of_the_source_tree(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(path).decode())
    assert (metadata["Name"], metadata["Version"]) == ("starstream-reviews", __version__)


def test_wheel_holds_every_file_of_the_three_rooms_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    card = Path("schemas/starter/MODEL_CARD.md")  # the one document that a command prints
    wanted = {str(path) for path in there if "__pycache__" not in path.parts and path.suffix != ".md"} | {str(card)}
    assert {Path(name).suffix for name in wanted} == {".py", ".lua", ".j2", ".json", ".typed", ".html", ".zip", ".md"}
    assert held == wanted


def test_version_is_written_nowhere_else() -> None:
    found = [str(path) for path, text in texts().items() if path.suffix == ".py" and f'"{__version__}"' in text]
    assert found == [str(ROOT / "schemas/__init__.py")]


def test_no_text_installs_the_package_of_a_stranger() -> None:
    """`starstream` on PyPI is somebody else's, and `starstream-reviews` has no release there yet."""
    command = r"\b(?:pip3?|pipx|uv(?: \w+)?) install\b[^\n]*?[\s'\"`]starstream(-reviews)?(?=[\s'\"`\[=.,)]|$)"
    pattern = re.compile(rf"{command}|\bstarstream\[", re.MULTILINE)
    found = [f"{path}: {match[0]}" for path, text in texts().items() for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize("part", ["worker", "trainer"])
def test_what_ships_has_the_versions_that_the_tests_run_on(part: str) -> None:
    shipped, tested = locked(part), locked("dev")
    assert len(shipped) > 30
    assert {name: versions for name, versions in shipped.items() if not versions <= tested.get(name, set())} == {}


def locked(part: str) -> dict[str, set[str]]:
    """Return each package's versions in a lock; there are several where they differ by Python."""
    found: dict[str, set[str]] = {}
    text = (ROOT / f"lock/{part}.txt").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found
