"""Which Python is found, and what is said of one that is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy import pythons
from deploy.pythons import OPTIONAL, PYTHONS, found, outcome


def nothing(version: str) -> None:
    del version


def never(version: str, python: str) -> int:
    raise AssertionError(f"{version} was run by {python}")


@pytest.mark.parametrize("version", [version for version in PYTHONS if version != OPTIONAL])
def test_a_missing_python_fails_and_the_line_says_what_brings_it(version: str) -> None:
    passed, line = outcome(version, nothing, never)
    assert not passed
    assert line.startswith(f"{version}: not run: no interpreter on this machine; ")
    assert f"`uv python install {version}` or `pyenv install {version}`" in line


@pytest.mark.parametrize(("code", "said"), [(0, "passed"), (1, "failed, pytest exited with 1")])
def test_a_python_is_said_to_have_passed_only_if_its_tests_did(code: int, said: str) -> None:
    def tested(version: str, python: str) -> int:
        assert python == f"/{version}"
        return code

    assert outcome("3.12", lambda version: f"/{version}", tested) == (code == 0, f"3.12: {said} (/3.12)")


def test_a_python_of_pyenv_is_found_behind_its_shims(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shim of a version that pyenv has not chosen exits with 127."""
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python3.12").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    (shims / "python3.12").chmod(0o755)
    monkeypatch.setenv("PATH", str(shims))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "managed"))
    assert found("3.12") is None
    of_pyenv = tmp_path / "versions" / "3.12.9" / "bin" / "python3.12"
    of_pyenv.parent.mkdir(parents=True)
    of_pyenv.symlink_to(sys.executable)
    assert found("3.12") == str(of_pyenv)


def test_help_is_its_own_and_not_of_pytest(capsys: pytest.CaptureFixture[str]) -> None:
    assert pythons.main(["--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: python -m deploy.pythons [3.11|")
    assert "--install lets uv" in said.replace("`", "")


def test_the_wheel_says_the_pythons_that_are_run_or_resolved() -> None:
    text = (pythons.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert [line for line in PYTHONS if f'"Programming Language :: Python :: {line}"' in text] == list(PYTHONS)
