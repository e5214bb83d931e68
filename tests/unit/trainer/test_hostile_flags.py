"""Whatever a flag is given: the trainer takes it, or names it in one line. Never a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.command_line.options import Option
from tests.unit.worker.test_hostile_settings import ODD
from trainer.__main__ import main, program
from trainer.errors import Exit

BASE = {
    "train": ["--data=none.csv"],
    "evaluate": ["--data=none.csv"],
    "publish": ["--source=none", "--version=stable"],
    "prune": ["--keep=1"],
    # The missing folder is found before a broker is asked.
    "collect": ["--bootstrap-servers=127.0.0.1:9", "--out=none/labelled.csv", "--patience-s=0.1"],
}
values = st.sampled_from([*ODD, "999999w", "9999-12-31", "0001-01-01T00:00:00+14:00"]) | st.binary(max_size=20).map(
    lambda some: os.fsdecode(some.replace(b"\0", b""))
)


def flags() -> list[tuple[str, str]]:
    """Return every command with each of its flags; `sample` would fetch its set."""
    of = program()
    ctx = click.Context(of)
    names = [name for name in of.list_commands(ctx) if name not in {"sample", "completion"}]
    commands = {name: of.get_command(ctx, name) for name in names}
    return [
        (name, param.opts[0])
        for name, command in commands.items()
        if command is not None
        for param in command.get_params(ctx)
        if isinstance(param, Option) and param.setting
    ]


@pytest.fixture
def is_taken_or_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[tuple[str, str], str], None]:
    """Checks what a command does with a flag's value."""
    monkeypatch.chdir(tmp_path)

    def check(which: tuple[str, str], value: str) -> None:
        command, flag = which
        others = [word for word in BASE.get(command, []) if not word.startswith(f"{flag}=")]
        code = main([command, *others, f"{flag}={value}"])
        said = capsys.readouterr().err
        assert code in set(Exit)
        lines = said.removeprefix("read\n").splitlines()
        assert code == Exit.OK or len(lines) == 1, lines
        assert code != Exit.USAGE or flag in lines[0]

    return check


@pytest.mark.parametrize("which", flags(), ids=" ".join)
def test_a_flag_that_is_not_utf_8_is_taken_or_named(
    which: tuple[str, str], is_taken_or_named: Callable[[tuple[str, str], str], None]
) -> None:
    is_taken_or_named(which, "\udc80")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(which=st.sampled_from(flags()), value=values)
def test_a_hostile_flag_is_taken_or_named(
    which: tuple[str, str], value: str, is_taken_or_named: Callable[[tuple[str, str], str], None]
) -> None:
    is_taken_or_named(which, value)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--labels=a,b", "--labels a, b: takes whole numbers, or --task labels"),
        ("--labels=1", "--labels: one label only"),
    ],
)
def test_a_repeated_flag_that_is_wrong_is_named_once(flag: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data=none.csv", flag]) == Exit.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
