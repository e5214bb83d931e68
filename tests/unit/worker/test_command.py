"""The help of the worker's commands: all settings are there, in groups, and say what they take."""

from __future__ import annotations

import re
import shlex

import pytest

from schemas.command_line.program import Command, Program
from tests.fixtures.flags import parsed
from tests.measured import MEASURED
from tests.unit.worker.test_main import exit_code
from worker.__main__ import program
from worker.command import GROUPS, HIDDEN
from worker.settings import WorkerSettings

pytestmark = pytest.mark.usefixtures("clean_environment")


def commands(of: Program, path: str = "") -> list[str]:
    """Return every command, with the commands it stands under."""
    found = []
    for name in of.list_commands(None):  # type: ignore[arg-type]
        command = of.get_command(None, name)  # type: ignore[arg-type]
        found += [f"{path}{name}", *(commands(command, f"{path}{name} ") if isinstance(command, Program) else [])]
    return found


COMMANDS = ["", *commands(program())]


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert exit_code(*command.split(), "--help") == 0
    return capsys.readouterr().out


def test_every_setting_is_in_the_help_of_run_or_serve(capsys: pytest.CaptureFixture[str]) -> None:
    serve, run = help_of("serve", capsys), help_of("run", capsys)
    for name in WorkerSettings.model_fields:
        flag = f"  --{name.replace('_', '-')}"
        assert any(f"{flag}{end}" in serve + run for end in (" ", ",", "\n")) == (name not in HIDDEN), name
        if name.startswith("rest_"):
            assert flag not in run


def test_every_group_begins_at_a_setting_and_no_setting_is_outside() -> None:
    names = [*WorkerSettings.model_fields]
    assert [name for name in names if name in GROUPS] == [*GROUPS]
    assert names[0] in GROUPS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_examples_and_fits_80_columns(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(command, capsys)
    assert said.startswith(" ".join(["Usage: starstream-worker", command]).strip())
    assert said.index("\nExamples:\n") < said.index("\nOptions:\n")
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert "\x1b" not in said
    assert [line for line in said.splitlines() if line != line.rstrip()] == []
    assert not MEASURED.search(" ".join(said.split()))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "replay"])  # a bundle's version
def test_every_command_names_the_version(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*command.split(), "--version") == 0
    assert capsys.readouterr().out.startswith("starstream-worker ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_example_of_the_help_is_a_command_line_that_parses(command: str) -> None:
    found = program()
    for word in command.split():
        found = found.get_command(None, word)  # type: ignore[arg-type, assignment]
    assert isinstance(found, (Command, Program))
    examples = re.sub(r"\\\n +", "", found.page.examples).splitlines()
    lines = [line.strip().partition("starstream-worker ")[2] for line in examples if "starstream-worker " in line]
    assert lines
    for line in lines:
        check_parses(line)


def check_parses(line: str) -> None:
    """Parse an example as a shell would split it, without what explains it and without the pipe after it."""
    words = shlex.split(line.partition("   ")[0].partition(" | ")[0].partition(" > ")[0].removesuffix(')"'))
    if words[:1] != ["completion"] and words[1:] != ["completion"]:
        parsed(words)


@pytest.mark.parametrize(
    "line",
    [
        "--linger-s DURATION  [WORKER_LINGER_S=10ms]",
        "--batch-reviews N  [WORKER_BATCH_REVIEWS=2000]",
        "--batch-bytes SIZE  [WORKER_BATCH_BYTES=4MB]",
        "--input-topics A,B,...  [WORKER_INPUT_TOPICS=reviews]",
        "--kafka-ssl-cafile FILE  [WORKER_KAFKA_SSL_CAFILE]",
        "--kafka-sasl-password SECRET  [WORKER_KAFKA_SASL_PASSWORD]",
        "--delivery exactly_once|at_least_once  [WORKER_DELIVERY=exactly_once]",
        "--breaker-share X  [WORKER_BREAKER_SHARE=0.5]",
        "--redis-summary / --no-redis-summary  [WORKER_REDIS_SUMMARY=true]",
        "--redis-ttl-s DURATION  [WORKER_REDIS_TTL_S=30d]",
    ],
)
def test_a_setting_says_its_variable_its_default_and_what_it_takes(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"  {line}\n" in help_of("run", capsys)
