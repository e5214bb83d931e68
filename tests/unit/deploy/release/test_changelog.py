"""The changelog's sections, and the step that begins a release."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from deploy.release.changelog import IMAGE_TAGS, SOURCE, notes, prepare
from deploy.release.errors import ReleaseRefusedError
from schemas import __version__

ROOT = Path(__file__).parents[4]
TEXT = """# Changelog

## [Unreleased]

## [5.2.0] - 2026-12-01

### Added
- Two.

## [5.1.0] - 2026-11-27

### Added
- One.

[5.1.0]: https://example.org
"""


@pytest.mark.parametrize(("version", "said"), [("5.2.0", "### Added\n- Two.\n"), ("5.1.0", "### Added\n- One.\n")])
def test_notes_are_the_section_of_the_version_alone(version: str, said: str) -> None:
    assert notes(TEXT, version) == said


@pytest.mark.parametrize("version", ["5.3.0", "5.1", "5x1.0", "Unreleased"])
def test_notes_refuse_a_version_without_a_section_and_say_what_to_do(version: str) -> None:
    with pytest.raises(ReleaseRefusedError, match="make release-prepare VERSION="):
        notes(TEXT, version)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in (SOURCE, *IMAGE_TAGS):
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / path, tmp_path / path)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n- One.\n", encoding="utf-8")
    return tmp_path


def test_prepare_names_the_version_everywhere_and_keeps_an_empty_unreleased_section(tree: Path) -> None:
    prepare(tree, "7.8.9", current=__version__, today="2026-12-24")
    changelog = (tree / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]\n\n## [7.8.9] - 2026-12-24\n\n### Added\n- One.\n" in changelog
    assert notes(changelog, "7.8.9") == "### Added\n- One.\n"
    tags = r"(?:starstream-(?:worker|trainer):|newTag: |ARG VERSION=|__version__ = \")(\d[\w.]*)"
    texts = [path.read_text(encoding="utf-8") for path in tree.rglob("*") if path.is_file()]
    named = [tag for text in texts for tag in re.findall(tags, text)]
    assert len(named) >= 12
    assert set(named) == {"7.8.9"}


@pytest.mark.parametrize("version", ["7.8", "v7.8.9", "7.8.9.dev1", "07.8.9", "0.0.1", "0.0.1rc1", "7.8.9\n"])
def test_prepare_refuses_what_is_no_newer_version_and_changes_nothing(version: str, tree: Path) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    with pytest.raises(ReleaseRefusedError):
        prepare(tree, version, current=__version__, today="2026-12-24")
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_prepare_refuses_a_version_twice_and_a_release_of_nothing(tree: Path) -> None:
    prepare(tree, "7.8.9", current=__version__, today="2026-12-24")
    with pytest.raises(ReleaseRefusedError, match=r"has 7\.8\.9 already"):
        prepare(tree, "7.8.9", current="7.8.9", today="2026-12-24")
    with pytest.raises(ReleaseRefusedError, match="nothing to release"):
        prepare(tree, "7.9.0", current="7.8.9", today="2026-12-24")


def test_a_candidate_comes_before_its_release(tree: Path) -> None:
    with pytest.raises(ReleaseRefusedError, match="older"):
        prepare(tree, "7.8.9rc2", current="7.8.9", today="2026-12-24")
    prepare(tree, "7.8.9", current="7.8.9rc2", today="2026-12-24")
