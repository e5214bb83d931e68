"""A registry in S3 without credentials, or whose server refuses: every command says so in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from deploy.process import LOOPBACK, free_port
from tests.conftest import TOY_REGISTRY
from tests.fixtures.forked import completed
from trainer.__main__ import main

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
def test_a_registry_that_is_away_is_one_line(
    program: str,
    command: str,
    away: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in.csv").write_text("content,score\nlove it,5\nhate it,1\n")
    for name in [name for name in os.environ if name.startswith(("AWS_", "WORKER_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{free_port()}",
        **AWAY[away],
    }.items():
        monkeypatch.setenv(name, value)
    words = [*command.split(), "--registry", "s3://bucket/models"]
    if program == "worker":
        done = completed(words, os.environ, tmp_path)
        code, errors = done.returncode, done.stderr
    else:
        monkeypatch.chdir(tmp_path)
        S3FileSystem.clear_instance_cache()  # else it keeps the credentials of the case before
        code, errors = main(words), capsys.readouterr().err
    lines = [line for line in errors.splitlines() if not line.startswith(("{", "INFO:"))]
    assert code == EXIT_CODE, errors
    said = "Unable to locate credentials" if away == "no credentials" else "Could not connect to the endpoint URL"
    assert all(said in line and "AWS_*" in line for line in lines), errors
    assert len(lines) == (2 if "--processes 2" in command and len(lines) > 1 else 1)
