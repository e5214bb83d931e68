"""Completion, as bash does it: commands, flags, choices, channels and files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TOY_REGISTRY

# Sources the script that the program prints, and asks bash's own completion function what it would offer.
ASK = """
eval "$(starstream-worker completion bash)"
words=({line})
COMP_WORDS=("${{words[@]}}" "{typed}")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p starstream-worker | sed 's/.*-F \\([^ ]*\\).*/\\1/') starstream-worker
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(folder: Path, line: str, typed: str = "") -> list[str]:
    program = folder / "bin" / "starstream-worker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    program.chmod(0o755)
    environ = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    script = ASK.format(line=line, typed=typed)
    bash = shutil.which("bash") or "bash"
    ended = subprocess.run(
        [bash, "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "typed", "expected"),
    [
        ("starstream-worker", "re", ["replay", "restore"]),
        ("starstream-worker dlq", "", ["list", "show", "held", "redrive"]),
        ("starstream-worker run", "--linger", ["--linger-s"]),
        ("starstream-worker run --delivery", "", ["exactly_once", "at_least_once"]),
        ("starstream-worker dlq list --reason", "no_", ["no_text", "no_identity"]),
        (f"starstream-worker run --registry {TOY_REGISTRY} --channel", "", ["stable"]),
        (f"starstream-worker run --registry {TOY_REGISTRY} --model-version", "2026", ["20260101T000000Z-70700000"]),
        ("starstream-worker completion", "", ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes(line: str, typed: str, expected: list[str], tmp_path: Path) -> None:
    assert offered(tmp_path, line, typed) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_a_script_that_asks_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    from worker.__main__ import main

    assert main(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert f"_STARSTREAM_WORKER_COMPLETE={shell}_complete" in said
