from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from schemas import __version__
from tests.conftest import ROOT, TOY_REGISTRY
from tests.fixtures.bundles import add_toy
from tests.measured import MEASURED
from tests.model.reviews import write_csv
from trainer.__main__ import EXTRA, main
from trainer.errors import Exit, TrainerError
from worker.errors import ExitCode


def _all(kind: type[TrainerError]) -> list[type[TrainerError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _all(child))]


TRAINING = ["train", "evaluate", "sample", "collect"]
REGISTRY = ["list", "show", "publish", "promote", "rollback", "history", "prune", "verify"]


@pytest.mark.parametrize("argv", [[], ["--help"], *([command, "--help"] for command in TRAINING + REGISTRY)])
def test_help_teaches_with_examples(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == (Exit.OK if argv else Exit.USAGE)
    printed = capsys.readouterr()
    said = printed.out or printed.err
    assert said.startswith("Usage: starstream-trainer ")
    assert "\nExamples:\n  starstream-trainer " in said
    assert said.index("\nExamples:\n") < said.index("\nOptions:\n")
    assert " ".join(["\n  starstream-trainer", *argv]).removesuffix("--help") in said
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert not MEASURED.search(" ".join(said.split()))


def test_version_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == Exit.OK
    assert capsys.readouterr().out == f"starstream-trainer {__version__}\n"


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f" {code.value} " in said for code in Exit)


def test_a_code_that_both_programs_have_means_the_same() -> None:
    assert (Exit.USAGE, Exit.REGISTRY, Exit.BAD_DATA) == (2, 3, 9)
    assert (ExitCode.USAGE, ExitCode.MODEL, ExitCode.INPUT) == (2, 3, 9)


def test_every_error_has_an_exit_code_of_the_contract() -> None:
    assert {kind.exit_code for kind in _all(TrainerError)} == set(Exit) - {Exit.OK, Exit.INTERRUPTED}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train"], "FILE is missing; for example: starstream-trainer train sample.csv"),
        (["shoe"], "shoe: no such command; did you mean show?"),
        (["train", "--data", "a.csv", "--bogus", "1"], "--bogus: no such flag"),
        (["train", "--data", "a.csv", "--cell", "rnn"], "--cell rnn: takes gru or lstm"),
        (["train", "--data", "a.csv", "--units", "0"], "--units 0: takes a whole number from 1 to 1024"),
        (["train", "--data", "a.csv", "--validation-share", "0.4", "--test-share", "0.4"], "over 0.6"),
    ],
)
def test_wrong_usage_names_the_flag(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == Exit.USAGE
    lines = capsys.readouterr().err
    assert said in lines
    assert lines.splitlines()[-1].startswith("starstream-trainer")


def test_environment_variable_is_not_a_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIST", '{"registry": "elsewhere"}')
    assert main([]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("Usage:")


@pytest.mark.parametrize("command", [["show"], ["evaluate", "--data", "a.csv"]])
def test_empty_registry_says_what_to_do(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--registry", str(tmp_path)]) == Exit.REGISTRY
    assert "publish one with `train`" in capsys.readouterr().err


# Runs commands, one an argument, and prints their exit codes and those of the modules below that were loaded.
# With "without" as the first argument, those modules cannot be found, as if the trainer's extra were not installed.
RUN = """
import sys
EXTRA = {"tensorflow", "keras", "nltk", "sklearn", "scipy", "matplotlib", "jinja2", "wordcloud"}

if sys.argv[1] == "without":
    sys.modules.update(dict.fromkeys(EXTRA))
from trainer.__main__ import main
codes = [int(main(command.split())) for command in sys.argv[2:]]
print(codes, sorted(EXTRA & {name.partition(".")[0] for name, module in sys.modules.items() if module}))
"""


def _run_commands(folder: Path, extra: str, *commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, extra, *commands],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("extra", ["with", "without"])
def test_only_train_needs_the_extra(tmp_path: Path, extra: str) -> None:
    old, new = (f"2026010{day}T000000Z-0000000{day}" for day in (1, 2))
    for version in (old, new):
        add_toy(tmp_path / "models", version)
    write_csv(tmp_path / "held_out.csv", [("worst app", 1), ("ok", 3), ("love it, best app", 5)] * 20)
    commands = (
        f"promote --version {old}",
        f"promote --version {new} --data held_out.csv --gate-slower 20 --gate-max-ece 1",
        "evaluate --data held_out.csv",
        "rollback",
        *("list", "show", "history", "verify", "prune --keep 1", "collect --help", "sample --help"),
        f"publish --source {TOY_REGISTRY} --version stable",
        "starter --registry begun",
    )
    done = _run_commands(tmp_path, extra, *commands)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{[0] * len(commands)} []"


def test_every_package_of_the_extra_is_looked_for_before_training() -> None:
    modules_of: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules_of.setdefault(name.replace("_", "-").lower(), set()).add(module)
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["trainer"]
    wanted = {re.match(r"[\w-]+", line)[0].lower() for line in extra}  # type: ignore[index]
    installed = wanted & modules_of.keys()
    assert {"tensorflow-cpu", "wordcloud"} <= installed
    assert {name for name in installed if not modules_of[name] & {*EXTRA}} == set()


def test_train_without_the_extra_says_how_to_install_it(tmp_path: Path) -> None:
    done = _run_commands(tmp_path, "without", "train --data a.csv --stop-words")
    assert done.stdout == f"[{Exit.USAGE:d}] []\n", done.stderr
    assert done.stderr.startswith("starstream-trainer: train needs tensorflow, keras, nltk, ")
    assert done.stderr.endswith("pip install '.[trainer]'\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("foo,bar\nhello,5\n", "none of the columns text, content, review, body; there are: foo, bar"),
        ("text,score\nhello,5\n", "1 usable rows; training needs at least 50"),
    ],
)
def test_data_that_cannot_be_used_is_reported_before_tensorflow_loads(tmp_path: Path, rows: str, reason: str) -> None:
    (tmp_path / "bad.csv").write_text(rows)
    done = _run_commands(tmp_path, "with", "train --data bad.csv")
    assert reason in done.stderr
    assert f"[{Exit.BAD_DATA:d}] " in done.stdout
    assert "tensorflow" not in done.stdout
    assert "keras" not in done.stdout


def test_list_of_nothing_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--registry", str(tmp_path / "none")]) == Exit.OK
    assert "no version yet" in capsys.readouterr().out
