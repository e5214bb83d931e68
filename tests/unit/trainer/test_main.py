from __future__ import annotations

from pathlib import Path

import pytest

from schemas import __version__
from trainer.__main__ import main
from trainer.errors import Exit, TrainerError


def _all(kind: type[TrainerError]) -> list[type[TrainerError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _all(child))]


@pytest.mark.parametrize("argv", [[], ["--help"], ["train", "--help"], ["evaluate", "--help"], ["sample", "--help"]])
def test_help_teaches_with_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == Exit.OK
    said = capsys.readouterr().out
    assert "Examples:\n  python -m trainer" in said


def test_version_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == Exit.OK
    assert capsys.readouterr().out == f"starstream-trainer {__version__}\n"


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = capsys.readouterr().out
    assert all(f" {code.value} " in said for code in Exit)


def test_every_error_has_an_exit_code_of_the_contract() -> None:
    assert {kind.exit_code for kind in _all(TrainerError)} == set(Exit) - {Exit.OK, Exit.INTERRUPTED}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train"], "the following arguments are required: --data"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["train", "--data", "a.csv", "--bogus", "1"], "unrecognized arguments: --bogus"),
        (["train", "--data", "a.csv", "--cell", "rnn"], "--cell: Input should be 'gru' or 'lstm'"),
        (["train", "--data", "a.csv", "--units", "0"], "--units: Input should be greater than or equal to 1"),
        (["train", "--data", "a.csv", "--validation-share", "0.4", "--test-share", "0.4"], "over 0.6"),
    ],
)
def test_wrong_usage_names_the_flag(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_environment_is_no_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LIST", '{"registry": "elsewhere"}')
    assert main([]) == Exit.OK
    assert capsys.readouterr().out.startswith("usage:")


@pytest.mark.parametrize("command", [["show"], ["evaluate", "--data", "a.csv"]])
def test_empty_registry_says_what_to_do(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--registry", str(tmp_path)]) == Exit.REGISTRY
    assert "publish one with `train`" in capsys.readouterr().err


def test_list_of_nothing_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--registry", str(tmp_path / "none")]) == Exit.OK
    assert "no version yet" in capsys.readouterr().out


def test_damaged_version_is_listed_with_its_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "20260101T000000Z-00000000").mkdir()
    assert main(["list", "--registry", str(tmp_path)]) == Exit.OK
    assert "20260101T000000Z-00000000" in capsys.readouterr().out
    assert main(["show", "--registry", str(tmp_path), "--version", "20260101T000000Z-00000000"]) == Exit.REGISTRY
    assert "is this a published bundle?" in capsys.readouterr().err
