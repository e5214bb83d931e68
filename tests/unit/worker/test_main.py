"""The command line, in process: help, usage errors and exit codes that need no service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import __version__
from tests.conftest import ROOT, TOY_REGISTRY
from worker.__main__ import main
from worker.errors import ExitCode

pytestmark = pytest.mark.usefixtures("clean_environment")


def exit_code(*arguments: str) -> int:
    """Return the exit code, however the command ends."""
    try:
        return main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)


def test_help_names_the_commands_and_all_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == ExitCode.OK
    out = capsys.readouterr().out
    for word in ("run", "predict", "check", "Exit codes:", "Examples:", *(f"{code.value} " for code in ExitCode)):
        assert word in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == ExitCode.OK
    assert capsys.readouterr().out == f"starstream-worker {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["predict"], ["run", "--linger-s"]],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*arguments) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert said.startswith("Usage: " if not arguments else "starstream-worker: ")
    assert not arguments or len(said.splitlines()) == 1


@pytest.mark.parametrize("command", [["run"], ["predict", "--input", "x.csv"]], ids=" ".join)
def test_an_unknown_flag_is_one_line_with_the_nearest(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*command, "--linger") == ExitCode.USAGE
    assert capsys.readouterr().err == "starstream-worker: --linger: no such flag; did you mean --linger-s?\n"


@pytest.mark.parametrize("command", ["run", "check", "predict"])
def test_for_a_wrong_variable_one_line_names_it(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKER_LINGER_S", "99")
    assert exit_code(command, *(["--input", "x.csv"] if command == "predict" else [])) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        "starstream-worker: WORKER_LINGER_S: takes a duration from 0s to 10s, such as 500ms, 30s, 5m, 2h or 30d "
        "(a plain number is seconds)\n"
    )


def test_a_wrong_flag_is_named_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("run", "--http-port", "70000") == ExitCode.USAGE
    assert capsys.readouterr().err == ("starstream-worker: --http-port 70000: takes a whole number from 0 to 65535\n")


def test_predict_without_a_bundle_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("predict", "--input", "x.csv", "--registry", str(tmp_path), "--starter", "off")
    assert exit_code(*words) == ExitCode.MODEL
    (line,) = capsys.readouterr().err.splitlines()
    assert "no bundle there" in line
    assert "trainer train" in line
    assert "trainer starter" in line


def test_predict_rates_a_file(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("content\nlove it\n \n")
    files = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out")]
    assert exit_code("predict", *files, "--registry", str(TOY_REGISTRY)) == ExitCode.INPUT
    assert '"rating": 5' in (tmp_path / "out").read_text()


def test_what_predict_writes_is_json_also_where_a_number_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "love it", "score": 1e400, "more": [{"n": -1e999, "m": 2}]}\n')
    files = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out")]
    assert exit_code("predict", *files, "--registry", str(TOY_REGISTRY)) == ExitCode.OK
    (line,) = (tmp_path / "out").read_text().splitlines()
    found = json.loads(line, parse_constant=pytest.fail)
    assert (found["text"], found["score"], found["more"]) == ("love it", None, [{"n": None, "m": 2}])


@pytest.mark.parametrize("command", ["predict", "produce --dry-run"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, command: str) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "love it\n" * 2000)
    words = [sys.executable, "-m", "worker", *command.split(), "--input", "in.csv", "--registry", str(TOY_REGISTRY)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == ExitCode.OK, said
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


@pytest.mark.parametrize(
    ("streams", "fault"),
    [
        ("> /dev/full", "--output -: No space left on device; choose another"),
        (">&-", "--output -: standard output is closed; name a file"),
        ("<&-", "--input -: standard input is closed; name a file"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_one_line(streams: str, fault: str) -> None:
    command = f"echo love | {sys.executable} -m worker predict --input - --registry {TOY_REGISTRY} {streams}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, shell=True, env=environ, capture_output=True, text=True)  # noqa: S602, PLW1510
    assert ended.returncode == ExitCode.USAGE, ended.stderr
    assert ended.stderr.splitlines()[-1] == f"starstream-worker: {fault}"


def test_an_output_that_cannot_show_a_character_shows_its_number(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\nd\u00e9j\u00e0\n", encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "worker", "produce", "--dry-run", "--input", "in.csv"]
    ended = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, check=True)
    assert ended.stdout == b'{"text": "d\\xe9j\\xe0"}\n'


@pytest.mark.parametrize(
    "command",
    [
        "produce --input x.csv --rate nan",
        "produce --input x.csv --rate -1",
        "watch --last -1",
        "watch --max-stars 0",
        "watch --max-stars 6",
    ],
)
def test_a_number_out_of_range_is_one_line_with_the_flag(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*command.split()) == ExitCode.USAGE
    assert re.fullmatch(r"starstream-worker: --[\w-]+ \S+: takes .*(0 or more|1 to 5).*\n", capsys.readouterr().err)


def test_an_interrupted_predict_prints_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object) -> int:
        del arguments
        raise KeyboardInterrupt

    monkeypatch.setattr("worker.commands.predict.predict", interrupt)
    assert exit_code("predict", "--input", str(tmp_path / "x.csv")) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "starstream-worker: interrupted\n"


def test_a_metrics_folder_of_another_program_is_ignored_and_a_vain_setting_logged(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": "/nowhere", "WORKER_GROUPID": "x", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "worker", "run", "--registry", str(tmp_path), "--http-port", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.MODEL, done.stderr
    assert "Traceback" not in done.stderr
    first = json.loads(done.stderr.splitlines()[0])
    assert (first["event"], first["level"]) == ("setting_ignored", "warning")
    assert first["reason"] == "WORKER_GROUPID: no such setting; the nearest is WORKER_GROUP_ID"


def test_other_commands_print_what_is_set_in_vain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKER_GROUPID", "x")
    assert exit_code("predict", "--input", "x.csv", "--registry", str(tmp_path)) == ExitCode.USAGE
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "starstream-worker: warning: WORKER_GROUPID: no such setting; the nearest is WORKER_GROUP_ID"


# Interrupts the first import of the module that is named, as Ctrl-C does at that moment.
INTERRUPTED_IMPORT = """
import sys

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
if sys.argv[2] == "worker":
    from worker.__main__ import main
else:
    from trainer.__main__ import main
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.parametrize(
    ("program", "module"),
    [
        *(("worker", module) for module in ("click", "worker.command", "worker.settings")),
        *(("trainer", module) for module in ("click", "schemas.bundle", "trainer.settings")),
    ],
)
def test_an_interrupt_while_it_loads_is_one_line(program: str, module: str) -> None:
    words = ["predict", "--help"] if program == "worker" else ["train", "--help"]
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, module, program, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, f"starstream-{program}: interrupted\n")
