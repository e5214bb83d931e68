"""A registry in S3 without credentials, or whose server refuses: every command says so in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.process import LOOPBACK, free_port
from tests import PATIENCE_S
from tests.conftest import ROOT, TOY_REGISTRY

EXIT_CODE = 3  # of both programs
VERSION = "20260101T000000Z-70700000"
COMMANDS = {
    "worker": (
        "run --http-port 0",
        "run --http-port 0 --processes 2",
        "serve",
        "predict --input in.csv",
        f"replay --from earliest --version {VERSION} --topic-out again --redis-prefix again:",
    ),
    "trainer": (
        "list",
        "show",
        "promote",
        "rollback",
        "history",
        "verify",
        "prune --keep 1",
        "train --data in.csv",
        "evaluate --data in.csv",
        f"publish --source {TOY_REGISTRY} --version stable",
    ),
}
AWAY = {
    "no credentials": {"AWS_EC2_METADATA_DISABLED": "true"},
    "refused": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1"},
}
CASES = [
    (program, command, away)
    for program, commands in COMMANDS.items()
    for command in commands
    for away in AWAY
    # A refused connection is tried five times by s3fs, 7 s in all: one command of each program shows it.
    if away == "no credentials" or command in {"predict --input in.csv", "list"}
]


@pytest.mark.parametrize(("program", "command", "away"), CASES)
def test_a_registry_that_is_away_is_one_line(program: str, command: str, away: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("content,score\nlove it,5\nhate it,1\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WORKER_"))}
    environ |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **AWAY[away]}
    environ["AWS_ENDPOINT_URL"] = f"http://{LOOPBACK}:{free_port()}"
    done = subprocess.run(
        [sys.executable, "-m", program, *command.split(), "--registry", "s3://bucket/models"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("{", "INFO:"))]
    assert done.returncode == EXIT_CODE, done.stderr
    said = "Unable to locate credentials" if away == "no credentials" else "Could not connect to the endpoint URL"
    assert all(said in line and "AWS_*" in line for line in lines), done.stderr
    assert len(lines) == (2 if "--processes 2" in command and len(lines) > 1 else 1)
