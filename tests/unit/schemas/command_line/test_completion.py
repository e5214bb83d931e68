"""Completion, as the shells do it: commands, flags, choices, channels and files, in a real bash, zsh and fish."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, TOY_REGISTRY, missing

# Each sources the script that the program prints, and asks the shell itself what it would offer for each line.
BASH = """
eval "$(starstream-worker completion bash)"
offer() {{
    COMP_WORDS=("$@")
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    COMPREPLY=()
    $(complete -p starstream-worker | sed 's/.*-F \\([^ ]*\\).*/\\1/') starstream-worker
    printf '%s ' "${{COMPREPLY[@]}}"
    echo
}}
{lines}
"""
FISH = """
starstream-worker completion fish | source
function offer
    echo (complete --do-complete $argv[1] | string replace --regex '\\t.*' '')
end
{lines}
"""
# zsh completes at its prompt only. A key of its own prints the line that is there.
ZSH = b"""PS1=; autoload -Uz compinit && compinit -u -D; eval "$(starstream-worker completion zsh)"
show() { print -r -- "LI""NE[$BUFFER]" }; zle -N show; bindkey '^X' show; print REA""DY
"""


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that has the worker as a program."""
    program = tmp_path / "bin" / "starstream-worker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    program.chmod(0o755)
    (tmp_path / "reviews.csv").touch()
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}


def found(name: str) -> str:
    return shutil.which(name) or missing(f"{name} is not installed")


def offered(name: str, script: str, shell: dict[str, str]) -> list[list[str]]:
    """Return what each line of the script offers."""
    words = [found(name), "-c", script]
    ended = subprocess.run(
        words, cwd=shell["HOME"], env=shell, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return [line.split() for line in ended.stdout.splitlines()]


CASES = [
    ("starstream-worker", "re", ["replay", "restore"]),
    ("starstream-worker dlq", "", ["list", "show", "held", "redrive"]),
    ("starstream-worker run", "--linger", ["--linger-s"]),
    ("starstream-worker run --delivery", "", ["exactly_once", "at_least_once"]),
    ("starstream-worker dlq list --reason", "no_", ["no_text", "no_identity"]),
    (f"starstream-worker run --registry {TOY_REGISTRY} --channel", "", ["stable"]),
    (f"starstream-worker run --registry {TOY_REGISTRY} --model-version", "2026", ["20260101T000000Z-70700000"]),
    ("starstream-worker completion", "", ["bash", "zsh", "fish"]),
]


def test_bash_completes(shell: dict[str, str]) -> None:
    lines = "\n".join(f'offer {line} "{typed}"' for line, typed, _ in CASES)
    assert offered("bash", BASH.format(lines=lines), shell) == [expected for _, _, expected in CASES]


def test_fish_completes(shell: dict[str, str]) -> None:
    cases = [*CASES[::2], ("starstream-worker predict", "rev", ["reviews.csv"])]
    lines = "\n".join(f"offer '{line} {typed}'" for line, typed, _ in cases)
    found = offered("fish", FISH.format(lines=lines), shell)
    assert [sorted(words) for words in found] == [sorted(expected) for _, _, expected in cases]


def test_zsh_completes(shell: dict[str, str]) -> None:
    lines = {
        "starstream-worker repl": "starstream-worker replay ",
        "starstream-worker dlq h": "starstream-worker dlq held ",
        "starstream-worker run --linger": "starstream-worker run --linger-s ",
        "starstream-worker run --delivery ex": "starstream-worker run --delivery exactly_once ",
        "starstream-worker predict rev": "starstream-worker predict reviews.csv ",
    }
    with_registry = f"starstream-worker run --registry {TOY_REGISTRY} --channel "
    lines[f"{with_registry}st"] = f"{with_registry}stable "
    near, far = pty.openpty()
    terminal: dict[str, Any] = {"stdin": far, "stdout": far, "stderr": far, "start_new_session": True}
    words, environ = [found("zsh"), "-f", "-i"], shell | {"TERM": "dumb"}
    with subprocess.Popen(words, cwd=shell["HOME"], env=environ, **terminal) as prompt:
        os.close(far)
        os.write(near, ZSH)
        read_until(near, rb"READY\r\n")
        completed = {}
        for line in lines:
            os.write(near, line.encode() + b"\t\x18")  # TAB, then the key that prints the line
            completed[line] = read_until(near, rb"LINE\[(.*)\]")[1].decode()
            os.write(near, b"\x15")  # an empty line again
        prompt.terminate()
        os.close(near)
    assert completed == lines


def read_until(terminal: int, mark: bytes) -> re.Match[bytes]:
    said = b""
    while (at := re.search(mark, said)) is None:
        said += os.read(terminal, 65536)
    return at
